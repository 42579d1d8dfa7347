"""`--model image_classifier`: what a classifier is shown, and complete runs of `shotbench eval` with tiny ones."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.host, pytest.mark.timeout(600)]
pytest.importorskip("lmms_eval")
torch = pytest.importorskip("torch")
import transformers
from PIL import Image

from lmms_eval_shotbench.media.clips import Clip
from lmms_eval_shotbench.media.stored_medium import StoredMedium
from lmms_eval_shotbench.models.classifier import UnsupportedClassifier, load_classifier
from lmms_eval_shotbench.vocabulary import MediaKind, View
from tests.harness.test_lmms_eval import isolated_caches, read_scores, run_eval  # noqa: F401
from tests.support import REPOSITORY
from tests.support.releases import clip, still
from tests.support.small_shards import small_still, write_small_shards

CPU = torch.device("cpu")
SIZE = 16  # width and height of a picture as the tiny classifiers see it, in pixels
FRAMES = 6  # of a clip; more than are decoded at once
CLASSES = ("ECS", "CS", "MCS", "MS", "other")
LABELS = '[shot_size]\nECS = "Extreme Close Up"\nCS = "Close Up"\nMCS = "Medium Close Up"\nMS = "Medium"\nother = []\n'
ENCODER = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "patch_size": 8,
    "image_size": SIZE,
    "id2label": dict(enumerate(CLASSES)),
    "label2id": {name: index for index, name in enumerate(CLASSES)},
}
SQUARE = {"height": SIZE, "width": SIZE}


def image_classifier(folder: Path) -> Path:
    """Write a random classifier of stills, whose answers depend on the still."""
    torch.manual_seed(3)
    model = transformers.ViTForImageClassification(transformers.ViTConfig(**ENCODER, initializer_range=0.5))
    model.save_pretrained(folder)
    transformers.ViTImageProcessor(size=SQUARE).save_pretrained(folder)
    return folder


def videomae(folder: Path) -> Path:
    config = transformers.VideoMAEConfig(**ENCODER, num_frames=FRAMES, tubelet_size=2, initializer_range=0.5)
    transformers.VideoMAEForVideoClassification(config).save_pretrained(folder)
    transformers.VideoMAEImageProcessor(size={"shortest_edge": SIZE}, crop_size=SQUARE).save_pretrained(folder)
    return folder


def vivit(folder: Path) -> Path:
    config = transformers.VivitConfig(**ENCODER, num_frames=FRAMES, tubelet_size=[2, 8, 8])
    transformers.VivitForVideoClassification(config).save_pretrained(folder)
    transformers.VivitImageProcessor(size={"shortest_edge": SIZE}, crop_size=SQUARE).save_pretrained(folder)
    return folder


def vjepa2(folder: Path) -> Path:
    small = {"pred_hidden_size": 16, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1, "num_pooler_layers": 1}
    config = transformers.VJEPA2Config(**ENCODER, frames_per_clip=FRAMES, crop_size=SIZE, **small)
    transformers.VJEPA2ForVideoClassification(config).save_pretrained(folder)
    transformers.VJEPA2VideoProcessor(size={"shortest_edge": SIZE}, crop_size=SQUARE).save_pretrained(folder)
    return folder


def stored(encoded: bytes, kind: MediaKind, view: View = View.AS_FILMED) -> StoredMedium:
    return StoredMedium.of(kind, "", lambda: encoded, view)


def loaded(folder: Path, frames: int | None = None) -> Any:
    return load_classifier(str(folder), None, CPU, "float32", frames)


@pytest.mark.parametrize("make", [videomae, vivit, vjepa2])
def test_a_video_classifier_sees_its_own_number_of_frames_from_first_to_last(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    classifier = loaded(make(tmp_path))
    assert classifier.frames == FRAMES
    encoded = clip(10)
    forwards = classifier.inputs(stored(encoded, MediaKind.CLIP))
    (values,) = [tensor for tensor in forwards.values() if tensor.is_floating_point()]
    assert values.shape == (1, FRAMES, 3, SIZE, SIZE)
    with Clip(encoded) as opened:
        frames = [Image.fromarray(frame) for batch in opened.read([0, 2, 4, 5, 7, 9]) for frame in batch]
    (expected,) = classifier.processor(frames, return_tensors="pt").values()
    assert torch.equal(values, expected)
    (reversed_values,) = classifier.inputs(stored(encoded, MediaKind.CLIP, View.REVERSED)).values()
    assert torch.equal(reversed_values, values.flip(1))
    short = classifier.inputs(stored(clip(2), MediaKind.CLIP))
    still_repeated = classifier.inputs(stored(still(1), MediaKind.STILL))
    rows = classifier.probabilities([forwards, short, still_repeated])
    assert [round(sum(row), 4) for row in rows] == [1.0, 1.0, 1.0]
    assert rows[0] == pytest.approx(classifier.probabilities([forwards])[0], abs=1e-5)


def test_an_image_classifier_sees_the_middle_frame_of_a_clip(tmp_path: Path) -> None:
    classifier = loaded(image_classifier(tmp_path))
    encoded = clip(9)
    with Clip(encoded) as opened:
        (frame,) = next(opened.read([4]))
    expected = classifier.processor(Image.fromarray(frame), return_tensors="pt")["pixel_values"]
    (values,) = classifier.inputs(stored(encoded, MediaKind.CLIP)).values()
    assert torch.equal(values, expected)
    picture = stored(still(5, "PNG"), MediaKind.STILL)
    (mirrored,) = classifier.inputs(picture._replace(view=View.MIRRORED)).values()
    assert torch.allclose(mirrored, classifier.inputs(picture)["pixel_values"].flip(-1), atol=0.02)


def test_a_processor_that_keeps_the_aspect_ratio_gives_the_same_probabilities_in_a_batch(tmp_path: Path) -> None:
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], id2label=dict(enumerate("ab"))
    )
    transformers.ResNetForImageClassification(config).save_pretrained(tmp_path)
    transformers.ConvNextImageProcessor(size={"shortest_edge": 400}, do_resize=False).save_pretrained(tmp_path)
    classifier = loaded(tmp_path)
    inputs = [
        dict(classifier.processor(Image.new("RGB", size, "red"), return_tensors="pt")) for size in ((64, 32), (32, 64))
    ]
    assert classifier.probabilities(inputs) == [classifier.probabilities([one])[0] for one in inputs]


def test_a_batch_that_does_not_fit_in_memory_is_halved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = loaded(image_classifier(tmp_path))
    inputs = [classifier.inputs(stored(still(number, "PNG"), MediaKind.STILL)) for number in range(5)]
    expected = classifier.probabilities(inputs)
    forward, sizes = type(classifier)._forward, []

    def within_memory(self: Any, batch: Any) -> Any:
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        sizes.append(len(batch))
        return forward(self, batch)

    monkeypatch.setattr(type(classifier), "_forward", within_memory)
    rows = classifier.probabilities(inputs)
    assert sizes == [2, 1, 2]
    assert [row == pytest.approx(one, abs=1e-5) for row, one in zip(rows, expected, strict=True)] == [True] * 5


def test_checkpoints_that_cannot_classify_are_refused_with_the_reason(tmp_path: Path) -> None:
    image = image_classifier(tmp_path / "image")
    with pytest.raises(UnsupportedClassifier, match=r"frames=8: .* is an image classifier"):
        loaded(image, frames=8)
    with pytest.raises(UnsupportedClassifier, match="dtype=int8: use one of float32"):
        load_classifier(str(image), None, CPU, "int8", None)
    with pytest.raises(UnsupportedClassifier, match="cannot classify a grey picture with frames=8"):
        loaded(videomae(tmp_path / "video"), frames=8)
    with pytest.raises(UnsupportedClassifier, match="cannot be loaded as a classifier"):
        loaded(tmp_path / "nothing")
    backbone = image_classifier(tmp_path / "backbone")
    transformers.ViTModel.from_pretrained(backbone).save_pretrained(backbone)
    with pytest.raises(UnsupportedClassifier, match="was not trained as a classifier"):
        loaded(backbone)


# -------------------------------------------------------------------------------------------- runs of shotbench eval


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards with a still that cannot be decoded, and a dimension that the file of labels does not have."""

    def encoded(number: int) -> bytes:
        return b"no picture" if number == 3 else small_still(number)

    numbers = {"shot_size": 10, "camera_angle": 3, "camera_movement": 2}
    return write_small_shards(tmp_path_factory.mktemp("small") / "shards", numbers, encoded)


@pytest.fixture(scope="module")
def model_args(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = image_classifier(tmp_path_factory.mktemp("classifier"))
    (folder / "labels.toml").write_text(LABELS, encoding="utf-8")
    return f"pretrained={folder},labels={folder / 'labels.toml'},device=cpu,workers=2"


def samples(out: Path) -> dict[int, Any]:
    lines = map(json.loads, (out / "samples.jsonl").read_text(encoding="utf-8").splitlines())
    return {line["index"]: line for line in lines}


def test_a_run_answers_what_its_classes_can_and_resumes_where_it_ended(
    shards: Path, model_args: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from lmms_eval_shotbench.models.classifier import Classifier

    out = tmp_path / "out"
    batches: list[int] = []
    forward = Classifier.probabilities

    def counted(self: Classifier, batch: Any) -> Any:
        batches.append(len(batch))
        return forward(self, batch)

    monkeypatch.setattr(Classifier, "probabilities", counted)
    assert run_eval(out, shards, "image_classifier", model_args, "shotbench", "--batch_size", "4") == 1
    assert [size for size in batches if size > 1] == [3, 4, 2], "a still of the first batch is broken"
    first = samples(out)
    answered = [row for index, row in first.items() if index < 10 and index != 3]
    assert all("<answer>" in row["response"] and "Close Up 0." in row["thought"] for row in answered)
    assert len({row["response"] for row in answered}) > 5
    assert "no known picture format" in first[3]["unanswered"]
    assert all("no class" in first[index]["response"] for index in range(10, 15))
    scores = read_scores(out)
    assert scores["unanswered"] == [3]
    assert scores["run"]["engines"]["stills"]["labels"]["shot_size"]["CS"] == ["Close Up"]
    assert any("the middle frame of a clip" in warning for warning in scores["run"]["warnings"])
    printed = capfd.readouterr()
    assert "Camera Angle (3)" in printed.out + printed.err

    batches.clear()
    assert run_eval(out, shards, "image_classifier", model_args, "shotbench") == 1
    assert [size for size in batches if size > 1] == [], "only the broken still is decoded again"
    again = samples(out)
    assert {index: row.get("response") for index, row in again.items()} == {
        index: row.get("response") for index, row in first.items()
    }


def test_the_file_of_labels_is_part_of_what_determines_a_response(
    shards: Path, model_args: str, tmp_path: Path
) -> None:
    out, labels = tmp_path / "out", tmp_path / "labels.toml"
    labels.write_text('[shot_size]\nother = "Extreme Close Up"\nCS = "Close Up"', encoding="utf-8")
    limits = ("shotbench_shot_size", "--limit", "3")
    assert run_eval(out, shards, "image_classifier", model_args, *limits) == 0
    before = samples(out)
    changed = model_args.replace(model_args.split("labels=")[1].split(",")[0], str(labels))
    assert run_eval(out, shards, "image_classifier", changed, *limits) == 0
    assert all("Medium has no class" in row["thought"] for row in samples(out).values())
    assert not any("has no class" in row["thought"] for row in before.values())


def test_a_missing_file_of_labels_stops_the_run_with_one_to_complete(
    shards: Path, model_args: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    missing = model_args.replace("labels.toml", "other.toml")
    assert run_eval(tmp_path / "out", shards, "image_classifier", missing, "shotbench_shot_size") != 0
    printed = capfd.readouterr()
    assert "[shot_size]" in printed.out + printed.err
    assert "Traceback" not in printed.out + printed.err


def test_a_classifier_trained_by_the_documented_command_is_run_with_its_file_of_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = write_small_shards(tmp_path / "shards", {"shot_size": 8})
    folder, script = tmp_path / "classifier", REPOSITORY / "benchmarks" / "train_classifier.py"
    options = f"{small} --dimension shot_size --split test --epochs 1 --width 32 --out {folder}"
    monkeypatch.setattr("sys.argv", [str(script), *options.split()])
    runpy.run_path(str(script), run_name="__main__")
    trained = f"pretrained={folder},labels={folder / 'labels.toml'},device=cpu"
    assert run_eval(tmp_path / "out", small, "image_classifier", trained, "shotbench_shot_size") == 0
    assert not any("has no class" in row["thought"] for row in samples(tmp_path / "out").values())
