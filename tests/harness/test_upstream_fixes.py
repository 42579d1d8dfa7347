"""Each fault of lmms-eval's models that `shotbench eval` fixes: the test fails without the fix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image

pytestmark = pytest.mark.host
pytest.importorskip("lmms_eval")

from lmms_eval_shotbench.harness.lmms_eval import prepare_harness
from lmms_eval_shotbench.harness.upstream_fixes import DecodedMedia, GeneratingModel, decode_frames, upstream_fixes
from tests.support.rendered_clips import Rendering, number_shown, render
from tests.support.tiny_families import make_tiny_family

STILL = Image.new("RGB", (64, 48))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("families")
    return lambda family: folder / family if (folder / family).exists() else make_tiny_family(family, folder / family)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(render(Rendering(20, rate=12)))
    return path


def processor(path: Path) -> Any:
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(path)


def model_class(name: str) -> Any:
    prepare_harness()
    from lmms_eval import models

    return models.get_model(name)


def test_a_clip_is_passed_with_all_its_frames_in_order_and_their_times(
    checkpoint: Callable[[str], Path], clip: Path
) -> None:
    frames, times = decode_frames(clip)
    assert [number_shown(frame) for frame in frames] == list(range(20))
    assert times.timestamps == pytest.approx([number / 12 for number in range(20)])

    qwen = processor(checkpoint("qwen3_vl"))  # shows 2 frames a second if it samples itself, and prints their times
    inputs = DecodedMedia(qwen)(text=["<|video_pad|>"], videos=[str(clip)], return_tensors="pt")
    assert inputs["video_grid_thw"][0][0] * 2 == 20
    text = qwen.tokenizer.decode(inputs["input_ids"][0])
    assert "<0.0 seconds>" in text and "<1.5 seconds>" in text  # the middle of the first and of the last two frames


@pytest.mark.parametrize(("limit", "shown"), [(4, [0, 6, 13, 19]), (20, list(range(20))), (32, list(range(20)))])
def test_a_clip_is_shown_evenly_up_to_the_limit_and_completely_below_it(
    limit: int, shown: list[int], clip: Path
) -> None:
    frames, times = decode_frames(clip, limit=limit)
    assert [number_shown(frame) for frame in frames] == shown == list(times.frames_indices)


def test_a_clip_shorter_than_the_number_of_frames_requested_is_shown(
    checkpoint: Callable[[str], Path], clip: Path
) -> None:
    internvl = processor(checkpoint("internvl"))
    settings = {"num_frames": 32, "do_sample_frames": True, "return_tensors": "pt"}
    inputs = DecodedMedia(internvl, 32)(text="<video>", videos=[str(clip)], **settings)
    assert len(inputs["pixel_values"]) == 20
    assert (inputs["input_ids"] == internvl.image_token_id).sum() == 20 * internvl.image_seq_length
    inputs = DecodedMedia(internvl, 32)(text="<video>", videos=[str(clip)], fps=6, **settings)
    assert len(inputs["pixel_values"]) == 10


@pytest.mark.parametrize("family", ["qwen2_5_vl", "internvl", "llava", "llava_onevision", "llava_next_video"])
def test_absent_media_are_not_passed(family: str, checkpoint: Callable[[str], Path]) -> None:
    real = processor(checkpoint(family))
    text = real.apply_chat_template([{"role": "user", "content": [{"type": "image"}]}], tokenize=False)
    with_lists = DecodedMedia(real)(text=[text], images=[STILL], videos=[], audios=[], return_tensors="pt")
    plain = real(text=[text], images=[STILL], return_tensors="pt")
    assert with_lists.keys() == plain.keys()
    assert (with_lists["pixel_values"] == plain["pixel_values"]).all()


def test_decoded_media_are_passed_as_they_are(checkpoint: Callable[[str], Path]) -> None:
    frames = numpy.zeros((6, 36, 64, 3), numpy.uint8)
    inputs = DecodedMedia(processor(checkpoint("llava_onevision")), 4)(text="<video>", videos=[frames])
    assert numpy.asarray(inputs["pixel_values_videos"][0]).shape[0] == 6


def test_a_model_without_video_names_the_reason(checkpoint: Callable[[str], Path], clip: Path) -> None:
    with pytest.raises(TypeError, match="LlavaProcessor takes no video"):
        DecodedMedia(processor(checkpoint("llava")))(text="<image>", videos=[str(clip)])


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_5", "internvl", "llava_onevision"])
def test_the_class_that_generates_is_loaded(family: str, checkpoint: Callable[[str], Path]) -> None:
    loaded = GeneratingModel.from_pretrained(str(checkpoint(family)), device_map="cpu")
    assert type(loaded).__name__.endswith("ForConditionalGeneration")


def test_llava_hf_runs_without_a_device_map_and_knows_llava_next_video(checkpoint: Callable[[str], Path]) -> None:
    with upstream_fixes():
        built = model_class("llava_hf")(pretrained=str(checkpoint("llava_next_video")), device="cpu")
    assert type(built.model).__name__ == "LlavaNextVideoForConditionalGeneration"
    with pytest.raises(KeyError):
        model_class("llava_hf")(pretrained=str(checkpoint("llava_next_video")), device="cpu")


@pytest.mark.parametrize(("family", "name"), [("qwen3_vl", "qwen3_vl"), ("qwen3_5", "qwen3_5")])
def test_the_system_message_of_the_task_is_the_only_one(
    family: str, name: str, checkpoint: Callable[[str], Path]
) -> None:
    texts = {"the model's own": "system", "the task's": "system", "a question": "user"}
    messages = [{"role": role, "content": [{"type": "text", "text": text}]} for text, role in texts.items()]
    with upstream_fixes():
        built = model_class(name)(pretrained=str(checkpoint(family)), device="cpu", device_map="cpu")
        (prompt,) = built._apply_chat_template([messages])
        assert (prompt.count("<|im_start|>system"), "the task's" in prompt, "own" in prompt) == (1, True, False)
        (prompt,) = built._apply_chat_template([[messages[0], messages[2]]])
        assert "the model's own" in prompt


def test_video_llava_reads_its_number_of_frames(clip: Path) -> None:
    with upstream_fixes():
        model_class("video_llava")
        from lmms_eval.models.simple import video_llava

        assert [number_shown(frame) for frame in video_llava.read_video(str(clip), 8)] == [0, 2, 5, 8, 10, 13, 16, 19]


def test_an_ignored_exception_is_raised_and_other_errors_are_logged() -> None:
    with upstream_fixes():
        model_class("llava_hf")
        from lmms_eval.models.chat import llava_hf

        with pytest.raises(MemoryError):
            try:
                raise MemoryError
            except MemoryError as error:
                llava_hf.eval_logger.error(f"Error {error} in generating")
        try:
            raise ValueError
        except ValueError:
            llava_hf.eval_logger.error("the server did not respond; it is asked again")
        llava_hf.eval_logger.error("Error in generating")  # outside an exception, there is nothing to raise


def test_nothing_is_changed_outside_an_evaluation() -> None:
    names = ("huggingface", "async_hf_model", "internvl_hf", "llava_hf")
    before = {name: dict(vars(model_class(name))) for name in names}
    with upstream_fixes():
        assert all(vars(model_class(name))["generate_until"] is not before[name]["generate_until"] for name in names)
    assert {name: dict(vars(model_class(name))) for name in names} == before


def test_a_frame_is_sent_although_an_earlier_one_had_its_address_and_the_fix_ends_with_the_run() -> None:
    prepare_harness()
    import lmms_eval.protocol

    messages = lmms_eval.protocol.ChatMessages(messages=[])
    cached = lmms_eval.protocol.ChatMessages.encode_image
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    with upstream_fixes():
        assert [model_class("openai"), model_class("async_openai")]  # the second finds it fixed
        cache: dict[Any, str] = {id(frames[1]): messages.encode_image(frames[0])}
        assert messages.encode_image(frames[1], cache) == messages.encode_image(frames[1]) != cache[id(frames[1])]
    assert lmms_eval.protocol.ChatMessages.encode_image is cached


def test_every_model_of_lmms_eval_that_sends_messages_imports_them_with_its_module() -> None:
    """Otherwise its frames would be cached: the fix is applied when its class is found."""
    import lmms_eval

    (folder,) = lmms_eval.__path__
    texts = [path.read_text(encoding="utf-8") for path in (Path(folder) / "models").rglob("*.py")]
    imports = [line for text in texts for line in text.splitlines() if "lmms_eval.protocol" in line]
    assert len(imports) > 10 and not [line for line in imports if line[:1].isspace()]
