"""The tasks inside the real lm-eval: same prompts and metrics as in lmms-eval, pictures decoded on access."""

from __future__ import annotations

import gc
import json
import os
import pickle
import subprocess
import sys
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lmms_eval_shotbench import lm_eval_tasks, prompts
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.environment import DATA_VARIABLE
from lmms_eval_shotbench.harness import lm_eval_functions
from lmms_eval_shotbench.harness.lm_eval_functions import OVER_DIMENSIONS, OVER_ITEMS
from lmms_eval_shotbench.harness.lm_eval_task_files import FAMILIES
from lmms_eval_shotbench.harness.task_folder import lm_eval_tasks_path, tasks_path
from lmms_eval_shotbench.media import stills
from lmms_eval_shotbench.prompts import DIRECT, MAX_NEW_TOKENS, REASONING
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.question_files import read_questions
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.vocabulary import DIMENSIONS, MediaKind
from tests.support.items import make_item
from tests.support.real_data import stored_responses

pytestmark = pytest.mark.host
pytest.importorskip("lm_eval")

LIKELIHOOD = "shotbench_blind_likelihood"


@pytest.fixture(scope="module", autouse=True)
def isolated_caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Use temporary caches and no network."""
    import datasets

    folder = tmp_path_factory.mktemp("caches")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOTBENCH_CACHE", str(folder / "shotbench"))
        patch.setenv("HF_DATASETS_CACHE", str(folder / "datasets"))
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "datasets")
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="module")
def task_manager() -> Any:
    """A manager of our tasks only: indexing lm-eval's own takes seconds."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=str(lm_eval_tasks_path()), include_defaults=False)


@pytest.fixture(scope="module")
def multimodal_lm(tiny_model: Path) -> Any:
    """lm-eval's multimodal model with a tiny Qwen2.5-VL."""
    from lm_eval.models.hf_vlms import HFMultimodalLM

    return HFMultimodalLM(pretrained=str(tiny_model), device="cpu", dtype="float32", batch_size=4)


@pytest.fixture
def studio_data_variable(studio_shards: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the tasks use the studio set."""
    monkeypatch.setenv(DATA_VARIABLE, str(studio_shards))
    return studio_shards


def build_requests(manager: Any, group: str, **settings: Any) -> list[Any]:
    """Build all requests of a group's tasks as an evaluation does."""
    tasks = manager.load([group])["tasks"].values()
    for task in tasks:
        task.build_all_requests(**settings)
    return [request for task in tasks for request in task.instances]


def command(data: object, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `lm-eval run` in a separate process."""
    tasks = str(lm_eval_tasks_path())
    run = [sys.executable, "-m", "lm_eval", "run", "--include_path", tasks, "--device", "cpu", *arguments]
    return subprocess.run(run, env={**os.environ, DATA_VARIABLE: str(data)}, capture_output=True, text=True)


# --------------------------------------------------------------------------------------------------- the task files


def test_the_command_prints_the_folder_that_lm_eval_includes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks-path", "--lm-eval"]) == 0
    assert capsys.readouterr().out.strip() == str(lm_eval_tasks_path()) == str(lm_eval_tasks.FOLDER)


def test_every_task_has_the_questions_of_its_dimension_and_a_group_all_dimensions(
    task_manager: Any, studio_data_variable: Path
) -> None:
    for family in FAMILIES:
        for style in family.styles:
            tasks = task_manager.load([family.group(style)])["tasks"]
            assert list(tasks) == [f"{family.group(style)}_{dimension.slug}" for dimension in family.dimensions]
            for task, dimension in zip(tasks.values(), family.dimensions, strict=True):
                assert set(task.eval_docs["dimension"]) == {dimension.slug}
    assert {dimension.slug for dimension in FAMILIES[0].dimensions} == {dimension.slug for dimension in DIMENSIONS}


def test_the_templates_hold_the_protocol(task_manager: Any, studio_data_variable: Path) -> None:
    (task,) = task_manager.load(["shotbench_blind_shot_size"])["tasks"].values()
    settings = {"max_gen_toks": MAX_NEW_TOKENS, "temperature": 0, "do_sample": False, "until": []}
    assert task.config.generation_kwargs == settings
    assert set(task.aggregation()) == {*OVER_ITEMS, OVER_DIMENSIONS}
    assert task.config.num_fewshot == 0  # not changed by --num_fewshot
    (task,) = task_manager.load([f"{LIKELIHOOD}_shot_size"])["tasks"].values()
    row = make_item().to_row()
    assert set(task.aggregation()) == set(task.process_results(row, [(-1.0, False)] * 4))


# ------------------------------------------------------------------------------------------------------ the prompts


@pytest.mark.parametrize("style", [DIRECT, REASONING])
def test_a_multimodal_model_receives_exactly_the_official_chat(
    style: prompts.PromptStyle, task_manager: Any, multimodal_lm: Any, studio_data_variable: Path
) -> None:
    requests = build_requests(
        task_manager,
        FAMILIES[2].group(style),
        apply_chat_template=True,
        chat_template=multimodal_lm.apply_chat_template,
    )
    for request in requests:
        official = prompts.messages(QAItem.from_row(request.doc), style, [{"type": "image"}])
        assert request.args[0] == multimodal_lm.processor.apply_chat_template(official, add_generation_prompt=True)


def test_a_text_model_receives_the_official_chat_without_a_picture(
    task_manager: Any, multimodal_lm: Any, studio_data_variable: Path
) -> None:
    def template(chat: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        return str(multimodal_lm.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True))

    requests = build_requests(
        task_manager, FAMILIES[0].group(REASONING), apply_chat_template=True, chat_template=template
    )
    assert len(requests) == len(read_questions(studio_data_variable))
    for request in requests:
        assert request.args[0] == template(prompts.messages(QAItem.from_row(request.doc), REASONING, []))


def test_the_likelihood_of_a_letter_is_requested_as_in_mmlu(task_manager: Any, studio_data_variable: Path) -> None:
    requests = build_requests(task_manager, LIKELIHOOD)
    items = read_questions(studio_data_variable)
    assert len(requests) == sum(len(item.options) for item in items)
    for request in requests:
        item = QAItem.from_row(request.doc)
        assert request.args == (f"{prompts.user_text(item)}\nAnswer:", f" {item.letters[request.idx]}")


def test_in_a_chat_the_letter_starts_the_answer(
    task_manager: Any, multimodal_lm: Any, studio_data_variable: Path
) -> None:
    chat = {"apply_chat_template": True, "chat_template": multimodal_lm.apply_chat_template}
    requests = build_requests(task_manager, f"{LIKELIHOOD}_camera_movement", limit=1, **chat)
    assert [request.args[1] for request in requests] == ["A", "B", "C", "D"][: len(requests)]
    assert all(request.args[0].endswith("\nAnswer:<|im_end|>\n<|im_start|>assistant\n") for request in requests)
    assert all(likelihood < 0 for likelihood, _ in multimodal_lm.loglikelihood(requests, disable_tqdm=True))


# ------------------------------------------------------------------------------------------------------ the metrics


def by_lm_eval(manager: Any, group: str, texts: Mapping[int, str]) -> tuple[dict[int, Any], dict[str, Any]]:
    """Return samples by index and the group's results for stored responses."""
    from lm_eval import simple_evaluate
    from lm_eval.api.model import LM

    class Replay(LM):
        """Returns stored responses."""

        MULTIMODAL = True

        def generate_until(self, requests: list[Any]) -> list[str]:
            return [texts[request.doc["source_index"]] for request in requests]

        def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
            raise AssertionError

        loglikelihood_rolling = loglikelihood

    results = simple_evaluate(Replay(), tasks=[group], task_manager=manager, bootstrap_iters=0)
    return by_index(results), results["results"][group]


def by_lmms_eval(tasks: list[str], responses: Path) -> dict[int, Any]:
    """Return lmms-eval's samples by index for stored responses."""
    pytest.importorskip("lmms_eval")
    from lmms_eval.evaluator import simple_evaluate
    from lmms_eval.tasks import TaskManager

    theirs = TaskManager(include_path=str(tasks_path()), include_defaults=False)
    return by_index(simple_evaluate("replay", f"responses={responses}", tasks=tasks, task_manager=theirs))


def by_index(results: Mapping[str, Any]) -> dict[int, Any]:
    samples = [sample for task in results["samples"].values() for sample in task]
    found = {sample["doc"]["source_index"]: sample for sample in samples}
    assert len(found) == len(samples)
    return found


def metrics_of(samples: Mapping[int, Any]) -> dict[int, dict[str, float]]:
    return {index: {name: sample[name] for name in OVER_ITEMS if name in sample} for index, sample in samples.items()}


@pytest.mark.parametrize(
    ("responses", "group"),
    [
        ("shotbench.shotvl-3b.reasoning", "shotbench_blind_reasoning"),
        ("shotbench.qwen2.5-vl-3b.direct", "shotbench_blind"),
    ],
)
def test_both_harnesses_grade_thousands_of_real_responses_identically(
    responses: str,
    group: str,
    task_manager: Any,
    real_data: Path,
    real_items: Mapping[int, QAItem],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = {int(str(row["index"])): row for row in stored_responses(real_data, responses)}
    texts = {index: str(row["response"]) for index, row in rows.items()}
    monkeypatch.setenv(DATA_VARIABLE, str(real_data / "shotbench" / "test.tsv"))
    samples, results = by_lm_eval(task_manager, group, texts)
    assert samples.keys() == real_items.keys()
    for index, sample in samples.items():
        assert sample["filtered_resps"] == [texts[index]]  # the response is not truncated
        assert sample["shotbench_official"] == float(rows[index]["reference_letter"] == real_items[index].answer)
    assert metrics_of(samples) == metrics_of(by_lmms_eval([group], real_data / "responses" / f"{responses}.jsonl.gz"))
    for metric in ("shotbench_accuracy", "shotbench_official"):
        mean = sum(sample[metric] for sample in samples.values()) / len(real_items)
        assert results[f"{metric},none"] == pytest.approx(mean)


RESPONSE_TEMPLATES = (
    "<think>Wide.</think><answer>{0}</answer>",
    "The answer is {0}.",
    "{1}",
    "{0}",
    "I see {1}, not {0}.",
    "",
)


def test_both_harnesses_grade_answers_about_stills_identically(
    task_manager: Any, studio_data_variable: Path, tmp_path: Path
) -> None:
    texts = {}
    for number, item in enumerate(read_questions(studio_data_variable)):
        letter = item.letters[number // 2 % len(item.letters)]
        texts[item.source_index] = RESPONSE_TEMPLATES[number % len(RESPONSE_TEMPLATES)].format(
            letter, item.choices[letter]
        )
    responses = tmp_path / "responses.jsonl"
    lines = (json.dumps({"index": index, "response": text}) + "\n" for index, text in texts.items())
    responses.write_text("".join(lines), encoding="utf-8")
    ours, _ = by_lm_eval(task_manager, "shotbench_stills_reasoning", texts)
    tasks = [f"shotbench_reasoning_{dimension.slug}" for dimension in FAMILIES[2].dimensions]
    assert metrics_of(ours) == metrics_of(by_lmms_eval(tasks, responses))
    assert {sample["shotbench_accuracy"] for sample in ours.values()} == {0.0, 1.0}
    assert {sample["shotbench_answered"] for sample in ours.values()} == {0.0, 1.0}


def test_the_most_likely_letter_is_the_answer_and_the_first_wins_a_tie() -> None:
    row = make_item(answer="C").to_row()
    assert lm_eval_functions.process_likelihoods(row, [(-3, False), (-2, False), (-1, True), (-9, False)])["acc"] == 1
    assert lm_eval_functions.process_likelihoods(row, [(-3, False), (-1, False), (-1, False), (-9, False)])["acc"] == 0


# ----------------------------------------------------------------------------------------------------- the pictures


@pytest.fixture
def decoded_stills(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[Any]]:
    """Weak references to all decoded pictures."""
    pictures: list[weakref.ref[Any]] = []
    decode = stills.open_still

    def open_still(*arguments: Any) -> Any:
        picture = decode(*arguments)
        pictures.append(weakref.ref(picture))
        return picture

    monkeypatch.setattr(stills, "open_still", open_still)
    return pictures


def test_pictures_are_decoded_on_access_and_not_kept(
    task_manager: Any, multimodal_lm: Any, studio_data_variable: Path, decoded_stills: list[weakref.ref[Any]]
) -> None:
    template = {"apply_chat_template": True, "chat_template": multimodal_lm.apply_chat_template}
    requests = build_requests(task_manager, "shotbench_stills", **template)
    stills = [item for item in read_questions(studio_data_variable) if item.media_kind is MediaKind.STILL]
    assert (len(requests), len(decoded_stills)) == (len(stills), 0)
    for request in requests:
        request.args[1]["max_gen_toks"] = 1
    some = requests[::4]
    assert all(multimodal_lm.generate_until(some, disable_tqdm=True))
    gc.collect()
    assert len(decoded_stills) == len(some)
    assert not any(picture() for picture in decoded_stills)  # although all requests still exist


def test_a_request_returns_the_picture_of_its_question_on_each_access(
    task_manager: Any, studio_data_variable: Path
) -> None:
    shards = ShardFolder(studio_data_variable)
    for request in build_requests(task_manager, "shotbench_stills")[::7]:
        visual = pickle.loads(pickle.dumps(request.args[2]["visual"]))  # as workers and request caches get it
        stored = stills.open_still(shards.media(request.doc["item_id"])).tobytes()
        assert [picture.tobytes() for picture in visual] == [stored]
        assert visual[:999][0].tobytes() == visual[0].tobytes() == stored


def test_the_response_cache_of_lm_eval_distinguishes_stills_without_decoding_them(
    task_manager: Any, studio_data_variable: Path, decoded_stills: list[weakref.ref[Any]]
) -> None:
    from lm_eval.api.model import hash_args
    from lm_eval.utils import hash_dict_images

    requests = build_requests(task_manager, "shotbench_stills")
    assert len({hash_args("generate_until", request.args) for request in requests}) == len(requests)
    logged = hash_dict_images({"visuals": [request.args[2]["visual"] for request in requests]})["visuals"]
    assert len(set(logged)) == len(requests) and all(isinstance(name, str) for name in logged)
    assert not decoded_stills


# ------------------------------------------------------------------------------------------------------ commands


def test_lm_eval_runs_the_stills_with_a_multimodal_model(
    task_manager: Any, multimodal_lm: Any, studio_data_variable: Path
) -> None:
    from lm_eval import simple_evaluate

    results = simple_evaluate(
        multimodal_lm,
        tasks=["shotbench_stills", "shotbench_stills_reasoning"],
        task_manager=task_manager,
        apply_chat_template=True,
        limit=1,
        gen_kwargs="max_gen_toks=1",
        bootstrap_iters=0,
    )
    for group in ("shotbench_stills", "shotbench_stills_reasoning"):
        scores = results["results"][group]
        assert scores["sample_len"] == 7
        assert scores["shotbench_answered,none"] == 1  # the model generates letters only
    for task in results["samples"].values():
        for sample in task:
            item = QAItem.from_row(sample["doc"])
            assert sample["shotbench_accuracy"] == float(sample["resps"][0][0].strip() == item.answer)
    json.dumps(results["samples"])  # as the command line writes them


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random text-only Qwen2."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from lmms_eval_shotbench.qwen.tiny_qwen import byte_tokenizer

    folder = tmp_path_factory.mktemp("language") / "model"
    torch.manual_seed(0)
    tokenizer = byte_tokenizer([prompts.CLOSING], 300)
    size = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "num_key_value_heads": 2}
    config = Qwen2Config(vocab_size=len(tokenizer), num_hidden_layers=1, max_position_embeddings=4096, **size)
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_the_command_measures_a_language_models_prior_by_generation_and_by_likelihood(
    studio_shards: Path, language_model: Path, tmp_path: Path
) -> None:
    finished = command(
        studio_shards,
        *("--model", "hf", "--model_args", f"pretrained={language_model},dtype=float32", "--limit", "2"),
        *("--tasks", f"shotbench_blind,{LIKELIHOOD}", "--gen_kwargs", "max_gen_toks=4", "--batch_size", "8"),
        *("--output_path", str(tmp_path), "--log_samples"),
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    (path,) = tmp_path.rglob("results_*.json")
    results = json.loads(path.read_text(encoding="utf-8"))["results"]
    by_generation, by_likelihood = results["shotbench_blind"], results[LIKELIHOOD]
    assert by_generation["sample_len"] == by_likelihood["sample_len"] == 2 * len(DIMENSIONS)
    assert {f"{name},none" for name in (*OVER_ITEMS, OVER_DIMENSIONS)} <= set(by_generation)
    assert 0 <= by_likelihood["acc,none"] <= 1 and by_likelihood["acc_stderr,none"] > 0
    (file,) = tmp_path.rglob(f"samples_{LIKELIHOOD}_shot_size_*.jsonl")
    for line in file.read_text(encoding="utf-8").splitlines():
        sample = json.loads(line)
        scores = [float(response[0]) for response in sample["filtered_resps"]]
        assert sample["acc"] == float("ABCDEFG"[scores.index(max(scores))] == sample["target"])


def test_missing_questions_or_media_exit_with_one_line(
    task_manager: Any, studio_shards: Path, tmp_path: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tsv = real_data / "shotbench" / "test.tsv"
    few = tmp_path / "few.tsv"
    few.write_text("".join(tsv.read_text(encoding="utf-8").splitlines(keepends=True)[:20]), encoding="utf-8")
    for data, group, message in [
        (tmp_path / "nowhere", "shotbench_blind", "no questions at"),
        (tsv, "shotbench_stills", "holds questions only"),
        (few, "shotbench_blind", "has no questions on .* its tasks that the data have: shot_size"),
    ]:
        monkeypatch.setenv(DATA_VARIABLE, str(data))
        with pytest.raises(SystemExit, match=f"^shotbench: .*{message}") as ended:
            task_manager.load([group])
        assert "\n" not in str(ended.value)
