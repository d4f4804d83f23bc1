"""A file in another encoding is refused, and the error names the encoding that it is in."""

# ruff: noqa: E501 (an error message is checked as a whole, on one line)

import codecs

import pytest
from corpus_files import GOOD, error_message, write

from nbhelpers.corpora import load_table

TEXTS = {
    "Chinese": ["很快，好吃，味道足，量大", "没有送水，态度也不好。", "方便快捷，味道可口", "送餐太慢了，等了两个小时"],
    "traditional Chinese": ["這家餐廳的服務很好", "味道普通，價格太高", "送餐很快，下次還會再點", "等了兩個小時才送到"],
    "Japanese": ["とても美味しかったです。", "配達が遅くて冷めていました。", "店員さんの対応が丁寧でした。", "値段の割に量が少ない"],
    "Japanese menu": ["コーヒーとケーキがおいしい", "ラーメンのスープがぬるい", "サービスがよかった", "メニューが少ない"],
    "Korean": ["정말 맛있어요", "배달이 너무 늦었어요", "다시 주문할게요", "양이 너무 적어요"],
    "Russian": ["Очень вкусно, спасибо!", "Доставка опоздала на час.", "Буду заказывать ещё", "Ужасное обслуживание"],
    "Greek": ["Πολύ νόστιμο φαγητό", "Η παράδοση άργησε πολύ", "Θα παραγγείλω ξανά", "Το φαγητό ήταν κρύο"],
    "German": ["Das Essen war köstlich, danke!", "Die Lieferung kam viel zu spät.", "Größe und Qualität stimmen", "Völlig überteuert"],
    "French": ["Très bon repas, merci à l'équipe !", "La livraison était en retard.", "Un café agréable", "Déçu par la qualité"],
    "Spanish": ["La comida estaba deliciosa, señor", "El envío llegó muy tarde", "¡Volveré!", "¿Por qué está tan caro?"],
    "Portuguese": ["A comida estava ótima", "Atenção: decepção total", "Entrega rápida, recomendação máxima", "Não é bom"],
}  # fmt: skip


def table_of(language, times=1, suffix=".csv"):
    """A small table: two texts are positive, two negative."""
    rows = list(zip(TEXTS[language], ("pos", "neg", "pos", "neg"), strict=True)) * times
    if suffix == ".csv":
        return "text,label\n" + "".join(f'"{text}",{label}\n' for text, label in rows)
    return "".join(f'{{"text": "{text}", "label": "{label}"}}\n' for text, label in rows)


@pytest.mark.parametrize("times", [1, 500], ids=["short", "long"])
@pytest.mark.parametrize(
    ("language", "encoding", "named"),
    [
        ("Chinese", "gb18030", "gb18030"),
        ("Chinese", "gb2312", "gb18030"),
        ("traditional Chinese", "big5", "big5"),
        ("Japanese", "shift_jis", "cp932"),
        ("Japanese", "euc_jp", "euc_jp"),
        ("Japanese menu", "shift_jis", "cp932"),
        ("Korean", "euc_kr", "cp949"),
        ("Russian", "cp1251", "cp1251"),
        ("Russian", "koi8_r", "koi8_r"),
        ("Greek", "cp1253", "cp1253"),
        ("German", "cp1252", "cp1252"),
        ("German", "latin-1", "cp1252"),
        ("French", "cp1252", "cp1252"),
        ("French", "latin-1", "cp1252"),
        ("Spanish", "cp1252", "cp1252"),
        ("Portuguese", "cp1252", "cp1252"),
        ("Chinese", "utf-16", "utf-16"),
        ("Chinese", "utf-16-le", "utf-16-le"),
        ("Chinese", "utf-16-be", "utf-16-be"),
        ("German", "utf-16-le", "utf-16-le"),
    ],
)
def test_the_error_names_the_encoding_of_the_file(tmp_path, language, encoding, named, times):
    path = write(tmp_path / "r.csv", table_of(language, times).encode(encoding))
    message = error_message(load_table, path)
    assert message.startswith("r.csv, row ")
    assert message.endswith(f"; the file is probably in {named}; pass encoding={named!r} and look at a few rows")
    # with the advice, the file is read as it was written
    assert (
        load_table(path, encoding=named)["train"]["text"][:] == load_table(path, encoding=encoding)["train"]["text"][:]
    )


def test_json_lines_in_another_encoding(tmp_path):
    content = table_of("Chinese", suffix=".jsonl").encode("gb18030")
    message = error_message(load_table, write(tmp_path / "r.jsonl", content))
    assert (
        message
        == "r.jsonl, line 1: byte 0xba cannot be read as utf-8; the file is probably in gb18030; pass encoding='gb18030' and look at a few rows"
    )


@pytest.mark.parametrize(
    ("language", "encoding"), [("German", "cp1252"), ("German", "latin-1"), ("Chinese", "latin-1")]
)
def test_utf8_is_not_read_as_other_letters(tmp_path, language, encoding):
    path = write(tmp_path / "r.csv", table_of(language).encode())
    told = f"r.csv is in utf-8, not in {encoding}; pass encoding='utf-8'"
    assert error_message(load_table, path, encoding=encoding) == told


@pytest.mark.parametrize("language", ["Chinese", "German"])
def test_broken_bytes_in_a_utf8_file_are_named_as_such(tmp_path, language):
    content = table_of(language).encode() + b"broken \xe4 here,pos\n"
    message = error_message(load_table, write(tmp_path / "r.csv", content))
    assert (
        message
        == "r.csv, row 6: byte 0xe4 cannot be read as utf-8; apart from one byte the file is UTF-8; correct the row or delete it"
    )
    content = table_of(language, 2).encode() + b"\xe4,pos\n\xf6,neg\n"
    message = error_message(load_table, write(tmp_path / "r.csv", content))
    assert "row 10: byte 0xe4 cannot be read as utf-8; apart from 2 bytes the file is UTF-8" in message


def test_a_broken_utf8_file_that_is_read_in_another_encoding(tmp_path):
    path = write(tmp_path / "r.csv", table_of("Chinese").encode() + b"broken \xe4 here,pos\n")
    message = error_message(load_table, path, encoding="ascii")
    assert message.endswith(
        "cannot be read as ascii; the file is probably in utf-8; pass encoding='utf-8' and look at a few rows"
    )


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (GOOD.encode() + b"a\0b,pos\n", {},
         "r.csv, row 4: contains a NUL byte; no common encoding fits, so the file is damaged or is not text; export it again as UTF-8"),
        (b'text,label\n"two\nlines",pos\n\n' + b"caf\xe9,neg\n", {},
         "r.csv, row 4: byte 0xe9 cannot be read as utf-8; the file is probably in cp1252; pass encoding='cp1252' and look at a few rows"),
        (b"text,label\na \x81 caf\xe9 for you,neg\n", {},
         "r.csv, row 2: byte 0x81 cannot be read as utf-8; the file is probably in latin-1; pass encoding='latin-1' and look at a few rows"),
        (GOOD.encode("utf-16"), {},
         "r.csv, row 1: byte 0xff cannot be read as utf-8; the file is probably in utf-16; pass encoding='utf-16' and look at a few rows"),
        (GOOD.encode("utf-16-le"), {},
         "r.csv, row 1: contains a NUL byte; the file is probably in utf-16-le; pass encoding='utf-16-le' and look at a few rows"),
        ((GOOD + "caf\u00e9,pos").encode(), {"encoding": "ascii"},
         "r.csv, row 4: byte 0xc3 cannot be read as ascii; the file is probably in utf-8; pass encoding='utf-8' and look at a few rows"),
        (codecs.BOM_UTF8 + GOOD.encode(), {"encoding": "utf8000"},
         "r.csv: Python has no encoding 'utf8000'; the file is probably in utf-8; pass encoding='utf-8' and look at a few rows"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0", {},
         "r.csv, row 1: byte 0x89 cannot be read as utf-8; no common encoding fits, so the file is damaged or is not text; export it again as UTF-8"),
        (b"\xff\xfea", {},
         "r.csv, row 1: byte 0xff cannot be read as utf-8; no common encoding fits, so the file is damaged or is not text; export it again as UTF-8"),
    ],
)  # fmt: skip
def test_error_messages_of_encodings(tmp_path, content, options, message):
    assert error_message(load_table, write(tmp_path / "r.csv", content), **options) == message
