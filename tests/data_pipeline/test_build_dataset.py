"""From labelled shots to shards: end to end on small drawn pictures, twenty films of twelve shots."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from data_pipeline.build_dataset import DatasetRecipe, build_dataset
from data_pipeline.checks import media_hashes
from data_pipeline.checks.audit import AuditFailed, audit_shards
from data_pipeline.checks.decontaminate import benchmark_media
from data_pipeline.checks.media_hashes import hash_shards
from data_pipeline.defects import Defect, DefectKind
from data_pipeline.labelled_shot import LabelledShot
from data_pipeline.questions.write_questions import QuestionPolicy
from data_pipeline.shards.dataset_card import CardText, read_defects
from data_pipeline.shards.write_shards import write_shards
from data_pipeline.workers import Workers
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.questions.question_files import read_questions
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.vocabulary import SHOT_SIZE, MediaKind
from tests.support.drawn_shots import draw, drawn_film
from tests.support.shard_rows import rows

ABOUT = CardText("Drawn", "drawn-1", "Drawn stills.", "Drawn for a test.", "By hand.", "cc0-1.0")
SPLITS = ["sft", "grpo", "dev", "test"]
HERE = Workers(0)


@pytest.fixture(scope="module")
def drawn_shots(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[LabelledShot]]:
    """A folder of pictures, and the shots they show."""
    folder = tmp_path_factory.mktemp("drawn")
    return folder, [shot for film in range(1, 21) for shot in drawn_film(folder, film)]


@pytest.fixture(scope="module")
def shards(drawn_shots: tuple[Path, list[LabelledShot]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of the drawn shots."""
    out = tmp_path_factory.mktemp("built") / "shards"
    build_dataset(drawn_shots[1], drawn_shots[0], out, ABOUT, DatasetRecipe(), [], HERE)
    return out


def test_hugging_face_reads_all_splits(shards: Path) -> None:
    import datasets

    loaded = datasets.load_dataset(str(shards))
    assert sorted(loaded) == sorted(SPLITS)
    row = loaded["sft"][0]
    assert row["image"].size == (96, 54)
    assert row["options"][ord(row["answer"]) - ord("A")]


def test_questions_show_the_media_of_their_shots(shards: Path, drawn_shots: tuple[Path, list[LabelledShot]]) -> None:
    indices = []
    for split in SPLITS:
        folder = ShardFolder(shards, split)
        items = list(folder.items())
        indices += [item.source_index for item in items]
        medium = folder.media(items[0].item_id)
        assert hashlib.sha256(medium).hexdigest() == items[0].media_sha256
        assert medium == (drawn_shots[0] / items[0].media_path).read_bytes()
    assert sorted(indices) == list(range(len(indices)))


def test_no_film_is_in_two_splits_and_no_shot_is_lost_without_a_reason(
    shards: Path, drawn_shots: tuple[Path, list[LabelledShot]]
) -> None:
    films = defaultdict(set)
    items = [(split, item) for split in SPLITS for item in read_questions(shards, split)]
    for split, item in items:
        films[item.film_id].add(split)
    assert {len(splits) for splits in films.values()} == {1}
    defects = read_defects(shards)
    assert len(items) + len(defects) == sum(len(shot.labels) for shot in drawn_shots[1])
    assert {defect.kind for defect in defects} == {DefectKind.SURPLUS, DefectKind.TOO_FEW_DISTRACTORS}


@pytest.mark.slow
def test_the_card_and_the_audit_are_in_the_folder(shards: Path) -> None:
    card = (shards / "README.md").read_text()
    assert "## Audit" in card and "surplus to the balance" in card and "## Known limits" in card
    audit = json.loads((shards / "audit.json").read_text())
    assert audit["failures"] == [] and audit["questions"] > 500
    assert audit_shards(str(shards), (), 0.05, HERE).to_json() == (shards / "audit.json").read_text()


def test_the_same_call_finds_the_shards_and_reads_no_shot(shards: Path) -> None:
    nothing = iter(lambda: pytest.fail("a shot was read"), None)
    done = build_dataset(nothing, Path("nowhere"), shards, ABOUT, DatasetRecipe(), [], HERE)  # type: ignore[arg-type]
    assert done.already_complete


@pytest.mark.slow
def test_two_builds_give_the_same_bytes(
    shards: Path, drawn_shots: tuple[Path, list[LabelledShot]], tmp_path: Path
) -> None:
    build_dataset(drawn_shots[1], drawn_shots[0], tmp_path / "again", ABOUT, DatasetRecipe(), [], HERE)
    assert (tmp_path / "again" / "manifest.json").read_text() == (shards / "manifest.json").read_text()


@pytest.mark.slow
def test_media_of_another_data_set_are_excluded(
    shards: Path, drawn_shots: tuple[Path, list[LabelledShot]], tmp_path: Path
) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    shots = [shot for film in (31, 32) for shot in drawn_film(folder, film)]
    known = replace(drawn_shots[1][0], shot_id="known", film_id="film31", media_sha256="")
    shutil.copy(drawn_shots[0] / known.media_path, folder / known.media_path)
    broken = replace(known, shot_id="broken", media_path="broken.jpg")
    (folder / "broken.jpg").write_bytes(draw(1)[:300])
    defects: list[Defect] = []
    recipe = DatasetRecipe({"test": 1}, against=(str(shards),))
    build_dataset([known, *shots, broken], folder, tmp_path / "out", ABOUT, recipe, defects, HERE)
    lost = {defect.index: defect.kind for defect in defects if not defect.index.startswith("s")}
    assert lost == {"known": DefectKind.IN_THE_BENCHMARK, "broken": DefectKind.UNDECODABLE_MEDIUM}
    assert audit_shards(str(tmp_path / "out"), [str(shards)], 0.05, HERE).failures == ()


def test_a_benchmark_is_every_medium_of_its_shards_once(
    shards: Path, drawn_shots: tuple[Path, list[LabelledShot]]
) -> None:
    media = benchmark_media([str(shards)], HERE)
    assert len({medium.media_hash for medium in media}) == len(media) <= len(drawn_shots[1])
    assert {medium.item.media_kind for medium in media} == {MediaKind.STILL}


@pytest.mark.verl
@pytest.mark.ray
def test_workers_compute_the_same_hashes_as_this_process(
    shards: Path, two_workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media_hashes, "FEW_UNITS", 0)
    assert hash_shards(shards, two_workers) == hash_shards(shards, HERE)


def test_where_the_audit_fails_nothing_is_written(drawn_shots: tuple[Path, list[LabelledShot]], tmp_path: Path) -> None:
    sizes = ["Wide"] * 5 + ["Close Up"]
    shots = [replace(s, labels={SHOT_SIZE.slug: sizes[n % 6]}) for n, s in enumerate(drawn_shots[1])]
    recipe = DatasetRecipe({"test": 1}, QuestionPolicy(balance=False))
    with pytest.raises(AuditFailed, match="without looking"):
        build_dataset(shots, drawn_shots[0], tmp_path / "out", ABOUT, recipe, [], HERE)
    assert list(tmp_path.iterdir()) == []


def test_a_duplicate_id_is_refused(drawn_shots: tuple[Path, list[LabelledShot]], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="s1000"):
        build_dataset([drawn_shots[1][0]] * 2, drawn_shots[0], tmp_path / "out", ABOUT, DatasetRecipe(), [], HERE)


@pytest.mark.slow
def test_the_command_audits_finished_shards(shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "report.json"
    assert main(["data", "audit", str(shards), "--workers", "0", "--report", str(report)]) == 0
    assert "| Shot Size |" in capsys.readouterr().out
    assert json.loads(report.read_text())["failures"] == []
    assert main(["data", "audit", str(shards), "--workers", "0", "--against", str(shards)]) == 1
    assert "show media of the benchmark" in capsys.readouterr().err


def test_media_that_cannot_be_decoded_fail_and_files_that_were_changed_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_shards(rows(6), tmp_path / "out", ABOUT, splits=["test"])  # every third row is an invalid clip
    command = ["data", "audit", str(tmp_path / "out"), "--workers", "0", "--no-gate"]
    report = tmp_path / "report.json"
    assert main([*command, "--report", str(report)]) == 1
    captured = capsys.readouterr()
    assert "2 media cannot be decoded, those of: t-2, t-5" in captured.err
    assert "Media that cannot be decoded: 2" in captured.out
    assert json.loads(report.read_text())["undecodable"] == ["t-2", "t-5"]
    [data] = (tmp_path / "out" / "data").iterdir()
    encoded = bytearray(data.read_bytes())
    encoded[100] ^= 1
    data.write_bytes(encoded)
    assert main(command) == 2
    assert "does not match manifest.json" in capsys.readouterr().err
