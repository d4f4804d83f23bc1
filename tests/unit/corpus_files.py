"""Small files for the tests of the corpora, and the message of a refused one."""

import pytest

from nbhelpers.corpora import CorpusError

GOOD = "text,label\nfine,pos\nbad,neg\n"
HEADER = "Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID\n"
TURNS = HEADER + "Hi!,Ann,joy,positive,0,0\nOh.,Bo,neutral,neutral,0,1\n"


def write(path, content):
    """Write text (in UTF-8) or bytes to a file; returns the path."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def error_message(function, *arguments, **options):
    """Call a function that must raise CorpusError; returns the message, which must be one line."""
    with pytest.raises(CorpusError) as caught:
        function(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message
