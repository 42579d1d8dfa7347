"""A pull request on the Hub with exported files.

The same export is proposed once: the title of a pull request ends in a digest of its files, and an open one with this
title is found instead. Files that the repository already has are not proposed at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from lmms_eval_shotbench.error_text import first_line
from lmms_eval_shotbench.export.model_card import CARD

if TYPE_CHECKING:
    from huggingface_hub import HfApi


class PullRequestRefused(RuntimeError):
    """The Hub did not accept the files; the message gives the reason and what to do."""


class Repository(NamedTuple):
    """A model's repository on the Hub, at the commit on which a pull request is based."""

    name: str
    commit: str
    card: str  # content of its card; "" if there is none or it was not asked for


class PullRequest(NamedTuple):
    """An open pull request, or none if the repository already has the files."""

    url: str  # "" for none
    existed: bool = False


def open_repository(name: str, with_card: bool) -> Repository:
    """Read the head and, if asked for, the card of a repository; raises `PushRefused`."""
    from huggingface_hub.errors import RemoteEntryNotFoundError

    with _refused(name) as api, TemporaryDirectory() as folder:
        commit = str(api.model_info(name).sha)
        if not with_card:
            return Repository(name, commit, "")
        try:
            # Into a folder of its own: without a network, an old card in the cache would be returned
            file = api.hf_hub_download(name, CARD, revision=commit, local_dir=folder)
            return Repository(name, commit, Path(file).read_bytes().decode())
        except RemoteEntryNotFoundError:  # not `EntryNotFoundError`, which is raised without a network, too
            return Repository(name, commit, "")


def propose(repository: Repository, files: Mapping[str, str | bytes], subject: str) -> PullRequest:
    """Open a pull request with these files, or find the open one.

    Args:
        repository: The repository of the model.
        files: Contents by path.
        subject: Beginning of the title.

    Raises:
        PushRefused: The Hub did not accept them.
    """
    from huggingface_hub import CommitOperationAdd

    contents = {path: text.encode() if isinstance(text, str) else text for path, text in sorted(files.items())}
    digest = hashlib.sha256(repr(contents).encode()).hexdigest()
    title = f"{subject} ({digest[:12]})"
    with _refused(repository.name) as api:
        name = repository.name
        for one in api.get_repo_discussions(name, discussion_type="pull_request", discussion_status="open"):
            if one.title == title:
                return PullRequest(one.url, existed=True)
        info = api.create_commit(
            name,
            [CommitOperationAdd(path, content) for path, content in contents.items()],
            commit_message=title,
            commit_description="Written by `shotbench export`.",
            create_pr=True,
            parent_commit=repository.commit,
        )
        return PullRequest(info.pr_url or "")


@contextmanager
def _refused(name: str) -> Iterator[HfApi]:
    """Yield the Hub's API; its errors become `PushRefused`."""
    import httpx
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    if not get_token():
        raise PullRequestRefused("--push needs a token of the Hub: log in with `hf auth login`, or set $HF_TOKEN")
    try:
        yield HfApi()
    except RepositoryNotFoundError as error:
        raise PullRequestRefused(f"--push {name}: the Hub has no such model, or your token does not see it") from error
    except HFValidationError as error:
        raise PullRequestRefused(f"--push {name}: {first_line(error)}; give ORG/MODEL") from error
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        advice = (
            "the token may not open pull requests: create one with write access"
            if status in (401, 403)
            else ("nothing was proposed; try again later")
        )
        raise PullRequestRefused(f"--push {name}: {first_line(error)}; {advice}") from error
    except (httpx.HTTPError, OSError) as error:
        reason = first_line(error)
        raise PullRequestRefused(f"--push {name}: the Hub cannot be reached ({reason}); check the network") from error
    except ValueError as error:  # of metadata that the Hub refuses
        raise PullRequestRefused(f"--push {name}: {' '.join(str(error).split())}") from error
