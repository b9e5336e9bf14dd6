"""What the engine says without a document: sums, echoes, its memory, long texts, images, titles."""

from __future__ import annotations

import base64
from io import BytesIO

import pytest
from PIL import Image

from chat.offline.language import language_of

from .conftest import Ask, Json, text_of


def image(picture: Image.Image, kind: str = "PNG", **more: object) -> Json:
    data = BytesIO()
    picture.save(data, kind, **more)
    return {
        "type": "input_image",
        "image_url": f"data:image/{kind.lower()};base64,{base64.b64encode(data.getvalue()).decode()}",
    }


@pytest.mark.parametrize(
    ("question", "result"),
    [
        ("What is 12 * (3 + 4)?", "84"),
        ("2^10", "1,024"),
        ("12,000 / 4 =", "3,000"),
        ("10 plus 5", "15"),
        ("计算 3×4", "12"),
        ("1/3", "0.333333333333"),
    ],
)
async def test_a_sum_is_worked_out(ask: Ask, question: str, result: str) -> None:
    assert f"**{result}**" in text_of(await ask(question))


@pytest.mark.parametrize("question", ["9**9**9", "1/0", "(-8)**0.5", "9" * 150 + "**9"])
async def test_a_sum_without_a_writable_result_is_survived(ask: Ask, question: str) -> None:
    response = await ask(question)
    assert response["status"] == "completed"
    assert " = **" not in text_of(response)


async def test_a_question_for_a_model_is_not_answered_with_a_guess(ask: Ask) -> None:
    text = text_of(await ask("Why is the sky blue?"))
    assert text.startswith("This question needs a language model, and none is connected yet.")
    assert text.count("connected") == 1


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("Why is the sky blue?", "en"),
        ("Warum ist der Himmel blau?", "de"),
        ("Pourquoi le ciel est-il bleu ?", "fr"),
        ("¿Por qué el cielo es azul?", "es"),
        ("天空为什么是蓝色的？", "zh"),
        ("請問這個檔案說了什麼？", "zh-Hant"),
        ("空はなぜ青いのですか", "ja"),
        ("하늘은 왜 파란가요?", "ko"),
    ],
)
def test_the_language_of_a_question_is_told(question: str, language: str) -> None:
    assert language_of(question) == language


@pytest.mark.parametrize("tokens", [500, 2250, 9000])
async def test_a_text_is_as_long_as_was_asked(ask: Ask, tokens: int) -> None:
    response = await ask(f"write a long text of about {tokens} tokens")
    assert response["usage"]["output_tokens"] == pytest.approx(tokens, rel=0.06)


async def test_the_showcase_shows_every_kind_of_block(ask: Ask) -> None:
    text = text_of(await ask("show markdown, 2000 words"))
    for sign in ("\n## ", "\n- ", "\n1. ", "\n> ", "\n```python\n", "\n|---", "\n$$\n", "**bold**", "- [x]"):
        assert sign in text or sign.replace("|---", "|-------:") in text, sign


async def test_the_conversation_is_remembered(ask: Ask) -> None:
    first = await ask("My name is Ada.")
    second = await ask("2 + 2", after=first)
    assert "My name is Ada" in text_of(await ask("What is my name?", after=second))
    assert "2 + 2" in text_of(await ask("What was my last question?", after=second))
    assert "**4**" in text_of(await ask("What did you just say?", after=second)).replace("\\", "")
    listed = text_of(await ask("What have I asked so far?", after=second))
    assert "1. My name is Ada." in listed
    assert "2. 2 + 2" in listed
    assert "first message" in text_of(await ask("What was my first question?"))


async def test_an_image_is_measured_and_not_interpreted(ask: Ask) -> None:
    picture = Image.new("RGBA", (640, 360), (200, 30, 40, 255))
    picture.paste((20, 60, 200, 255), (0, 0, 160, 360))
    picture.paste((0, 0, 0, 0), (560, 0, 640, 360))
    text = text_of(await ask("What is this?", image(picture)))
    assert "640 × 360 pixels" in text
    assert "16:9" in text
    assert "red (71%), blue (29%)" in text
    assert "12% of the area is transparent" in text or "13% of the area is transparent" in text
    assert "cannot see what it shows" in text


async def test_a_photo_tells_its_camera_and_orientation_and_never_its_place(ask: Ask) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "Acme"
    exif[0x0110] = "Acme <b>One</b>"
    exif.get_ifd(0x8825)[2] = (51.0, 28.0, 38.0)
    photo = Image.new("RGB", (400, 300), (128, 128, 128))
    text = text_of(await ask("Describe it", image(photo, "JPEG", exif=exif)))
    assert "300 × 400 pixels" in text
    assert "portrait, 3:4" in text
    assert "turned on its side" in text
    assert "Acme" in text
    assert "<b>" not in text
    assert "practically greyscale" in text
    assert "51" not in text


async def test_an_image_stays_known_through_the_conversation(ask: Ask) -> None:
    first = await ask("Look", image(Image.new("RGB", (30, 30), (0, 160, 0))))
    assert "green" in text_of(await ask("Which colour has the image?", after=first))
    assert "needs a language model" in text_of(await ask("Why is the sky blue?", after=first))


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("What is 17 * 23 + 4?", "What is 17 * 23 + 4"),
        ("Can you explain how photosynthesis works in plants and animals?", "How photosynthesis works in plants"),
        ("Please tell me about the history of Rome", "The history of Rome"),
        ("请帮我总结一下人工智能的发展历史", "总结一下人工智能的发展历史"),
        ("hi", "Hi"),
        ("???", "New conversation"),
    ],
)
async def test_a_title_is_short_and_nothing_but_a_title(ask: Ask, text: str, title: str) -> None:
    response = await ask(text, instructions="Write a title of three to six words for this conversation.")
    assert text_of(response) == title


async def test_a_document_gives_its_name_to_the_title(ask: Ask, darwin: Json) -> None:
    titled = await ask("Summarize this PDF", darwin, instructions="Write a title for this conversation.")
    assert text_of(titled) == "Summary of darwin.pdf"


async def test_an_exchange_written_down_gives_the_name_of_its_file_to_the_title(ask: Ask) -> None:
    exchange = "User: Summarize this PDF\n\nAssistant: ### Summary\n\nOf a kind.\n\nAttached files: report.pdf, b.pdf"
    titled = await ask(exchange, instructions="Write a title of three to six words for the conversation below.")
    assert text_of(titled) == "Summary of report.pdf"
    silent = await ask(exchange.replace("Summarize this PDF", ""), instructions="Write a title.")
    assert text_of(silent) == "Summary of report.pdf"
    other = await ask(exchange.replace("Summarize this PDF", "Who signed the contract?"), instructions="Write a title.")
    assert text_of(other) == "Who signed the contract"
