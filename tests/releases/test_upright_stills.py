"""Stills with an EXIF orientation are stored upright: `datasets`, lmms-eval's tasks and the shards show one picture."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy
import pytest
from PIL import Image

from data_pipeline.defects import DefectKind
from data_pipeline.releases import checked_rows as import_step
from data_pipeline.releases.import_shotbench import import_shotbench
from data_pipeline.releases.import_shotqa import import_shotqa
from data_pipeline.releases.shotqa_questions import ShotQAChoices
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.harness.task_functions import doc_to_visual, use_questions
from lmms_eval_shotbench.questions.question_files import open_questions
from lmms_eval_shotbench.questions.shards import ShardFolder
from tests.support.releases import CLIP_PATH, clip, line, tars
from tests.support.rotated_stills import INVERSE, PICTURE, animated, rotated, saved
from tests.support.shotqa_releases import checksums, shotqa, still_row

UPRIGHT = {f"image/plain.{form.lower()}": saved(form=form) for form in ("JPEG", "PNG", "WEBP", "TIFF")}
ROTATED = {f"image/{n} {form}.jpg": rotated(n, form) for n in INVERSE for form in ("JPEG", "PNG", "WEBP", "MPO")}
OTHERS = {
    "image/tiff.tif": rotated(6, "TIFF"),  # Pillow rotates it itself
    "image/cmyk.jpg": rotated(6, "JPEG", PICTURE.convert("CMYK")),
    "image/grey.jpg": rotated(6, "JPEG", PICTURE.convert("L")),
    "image/palette.png": rotated(6, "PNG", PICTURE.quantize(16), transparency=0),
    "image/16 bit.png": rotated(6, "PNG", Image.fromarray(numpy.asarray(PICTURE.convert("L")).astype("uint16") * 3)),
    "image/gif.gif": animated("GIF"),
    "image/webp.webp": animated("WEBP", orientation=6),
    "image/mpo.jpg": animated("MPO", orientation=8),
    "image/apng.png": animated("PNG"),
}


def test_datasets_and_the_tasks_show_the_same_upright_picture(tmp_path: Path) -> None:
    import datasets

    media = UPRIGHT | ROTATED | OTHERS
    rows = [line(number, path) for number, path in enumerate(media)]
    import_shotbench(str(tars(tmp_path / "release", rows, media)), tmp_path / "out")
    loaded = datasets.load_dataset(str(tmp_path / "out"), split="test", cache_dir=str(tmp_path / "cache"))
    docs = loaded.remove_columns(["image", "video"])
    with use_questions(open_questions(tmp_path / "out")):
        for path, doc, shown in zip(media, docs, loaded["image"], strict=True):
            (seen,) = doc_to_visual(doc)
            assert numpy.array_equal(seen, shown.convert("RGB")), path
            if path in ROTATED:
                assert abs(numpy.asarray(seen).astype(int) - numpy.asarray(PICTURE)).mean() < 6, path


def test_a_transparent_still_is_rotated_before_it_is_laid_on_white(tmp_path: Path) -> None:
    picture = PICTURE.convert("RGBA")
    picture.putalpha(PICTURE.getchannel(0))
    media = {"image/upright.png": saved(picture), "image/rotated.png": rotated(5, "PNG", picture)}
    rows = [line(number, path) for number, path in enumerate(media)]
    import_shotbench(str(tars(tmp_path / "release", rows, media)), tmp_path / "out")
    shards = ShardFolder(tmp_path / "out")
    one, other = (Image.open(io.BytesIO(shards.media(item.item_id))) for item in shards.items())
    assert one.mode == other.mode == "RGBA"
    assert numpy.array_equal(one, other)


@pytest.mark.parametrize("read_ahead", [0, import_step.READ_AHEAD_BYTES])
def test_only_rotated_stills_are_rewritten_and_checksums_are_of_the_stored_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_ahead: int
) -> None:
    monkeypatch.setattr(import_step, "READ_AHEAD_BYTES", read_ahead)
    media = UPRIGHT | ROTATED
    rows = [line(number, path) for number, path in enumerate([*media, *media])]
    report = import_shotbench(str(tars(tmp_path / "release", rows, media)), tmp_path / "out")
    assert sorted(defect.path for defect in report.defects) == sorted(ROTATED)
    shards = ShardFolder(tmp_path / "out")
    for item in shards.items():
        stored = shards.media(item.item_id)
        assert hashlib.sha256(stored).hexdigest() == item.media_sha256
        assert (stored == media[item.media_path]) == (item.media_path in UPRIGHT)


def test_warnings_are_counted_once_a_medium_in_print_manifest_and_card(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    media = {
        "image/a.jpg": rotated(6),
        "image/b.jpg": rotated(3),
        "image/c.gif": animated("GIF"),
        "image/d.png": saved(Image.new("RGB", (3000, 10))),
        "image/e.png": saved(),
        CLIP_PATH: clip(1),
    }
    rows = [line(number, path) for number, path in enumerate([*media, *media])]
    release = tars(tmp_path / "release", rows, media)
    assert main(["data", "import-shotbench", str(release), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out.splitlines()[1:]
    assert printed == [
        "warning: still stored upright: 2 (0, 1), e.g. EXIF orientation 6",
        "warning: hidden frames: 1 (2), e.g. 3 frames, of which the first is evaluated",
        "warning: clip of one frame: 1 (5), e.g. 1 frame; qwen_vl_utils takes 2 or more",
        "warning: extreme aspect ratio: 1 (3), e.g. 3000 x 10 pixels; Qwen-VL processors take at most 200:1",
    ]
    assert json.loads((tmp_path / "out/manifest.json").read_text())["media_warnings"] == {
        "still stored upright": {"media": 2, "first": ["0", "1"]},
        "hidden frames": {"media": 1, "first": ["2"]},
        "clip of one frame": {"media": 1, "first": ["5"]},
        "extreme aspect ratio": {"media": 1, "first": ["3"]},
    }
    assert "* still stored upright: 2 (kept)" in (tmp_path / "out/README.md").read_text()
    assert main(["data", "import-shotbench", str(release), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == printed


@pytest.mark.parametrize("media", ["check", "trust"])
def test_shotqa_stores_stills_upright_whether_media_are_decoded_or_trusted(tmp_path: Path, media: str) -> None:
    files = {"a.jpg": rotated(6), "b.png": rotated(7, "PNG"), "c.jpg": saved(form="JPEG")}
    release = shotqa(tmp_path / "release", files.items(), grpo=[still_row(name) for name in files])
    report = import_shotqa(str(release), tmp_path / "out", ShotQAChoices(dev_share=0, media=media))
    assert [(defect.kind, defect.index) for defect in report.defects] == [
        (DefectKind.STORED_UPRIGHT, "shotqa-grpo-000000"),
        (DefectKind.STORED_UPRIGHT, "shotqa-grpo-000001"),
    ]
    shards = ShardFolder(tmp_path / "out", "grpo")
    for item in shards.items():
        stored = shards.media(item.item_id)
        assert hashlib.sha256(stored).hexdigest() == item.media_sha256
        assert Image.open(io.BytesIO(stored)).size == PICTURE.size
    assert shards.media("shotqa-grpo-000002") == files["c.jpg"]


def test_a_resumed_import_stores_the_same_stills_upright(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from data_pipeline.shards.split_writer import SplitWriter

    names = [f"{number}.jpg" for number in range(6)]
    files = [(name, rotated(6) if number % 2 else saved(form="JPEG")) for number, name in enumerate(names)]
    rows = [still_row(name, letter="ABCD"[n % 4]) for n, name in enumerate(names)]
    release, choices = shotqa(tmp_path / "release", files, grpo=rows), ShotQAChoices(dev_share=0)
    import_shotqa(str(release), tmp_path / "at once", choices)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(SplitWriter, "close", interrupt)
        import_shotqa(str(release), tmp_path / "twice", choices)
    journal = (tmp_path / ".twice.work/verdicts.jsonl").read_text()
    assert [f'"{name}"' in journal for name in names] == [True, False] * 3
    import_shotqa(str(release), tmp_path / "twice", choices)
    assert checksums(tmp_path / "twice") == checksums(tmp_path / "at once")


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt
