"""Keeps secrets out of what a run leaves behind: settings, checkpoints, logs, W&B.

A run knows its secrets; what it writes holds a mark in their place. Who goes on with it gives them again.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HIDDEN = "<redacted>"
SHORTEST = 4  # letters of a secret that is looked for within text: shorter ones would hide harmless words
_SECRET = re.compile(r"key|token|secret|passw|passphrase|pwd|credential|auth(?!or)|cookie|bearer", re.IGNORECASE)
_USER_OF_URL = re.compile(r"(?<=://)[^/?#\s'\"<>]+(?=@)")  # https://user:password@host
_QUERY_OF_URL = re.compile(r"(?<=[?&])([^=&\s'\"]+)=([^&#\s'\"]+)")  # https://host/?token=...
_SIGNATURE = re.compile(r"sig|signature", re.IGNORECASE)  # of signed URLs


def redact(settings: Any, name: str = "") -> Any:
    """A copy of nested settings with ``<redacted>`` in the place of every secret.

    A value is secret if its name contains key, token, secret, passw, passphrase, pwd, credential, auth, cookie or
    bearer, in upper or lower case, at any depth: hiding a harmless value costs little, leaking a secret a lot. So is
    what a URL holds before its ``@``, or in its query under such a name. True, false and null are no secrets.

    Args:
        settings: mappings, lists and plain values.
        name: the key that ``settings`` stands under.
    """
    if _SECRET.search(name) and settings is not None and not isinstance(settings, bool):
        return HIDDEN
    if isinstance(settings, Mapping):
        return {key: redact(value, str(key)) for key, value in settings.items()}
    if isinstance(settings, (list, tuple)):
        return [redact(value) for value in settings]
    return _without_url_secrets(settings) if isinstance(settings, str) else settings


def redact_argument(argument: str) -> str:
    """A command-line override without the value of a secret: ``env.kwargs.api_key=<redacted>``."""
    name, equals, _ = argument.partition("=")
    if equals and _SECRET.search(_without_urls(argument)):
        return f"{name}={HIDDEN}"
    return _without_url_secrets(argument)


def hidden_keys(settings: Any, prefix: str = "") -> list[str]:
    """The dotted keys of nested settings whose values are redacted; a list counts as one value."""
    return [key for key, value in leaf_settings(settings, prefix) if any(HIDDEN in text for text in _texts(value))]


def leaf_settings(settings: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of nested mappings that is no mapping itself, by its dotted key."""
    if isinstance(settings, Mapping):
        for key, value in settings.items():
            yield from leaf_settings(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, settings


def restored(settings: Any, given: Any) -> Any:
    """A copy of nested settings where ``given`` has the values of what is redacted; the rest stays."""
    if isinstance(settings, Mapping) and isinstance(given, Mapping):
        return {key: restored(value, given[key]) if key in given else value for key, value in settings.items()}
    return given if hidden_keys(settings) else settings


def asks_for(keys: Sequence[str]) -> str:
    """The sentence for who has not given again what is redacted."""
    values = " ".join(f"{key}=..." for key in keys)
    which = f"{', '.join(keys)} {'is a secret' if len(keys) == 1 else 'are secrets'}"
    return f"{which}, which a run does not keep; give {'it' if len(keys) == 1 else 'them'} again: {values}"


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets of a session, to be taken out of any text."""

    texts: tuple[str, ...]  # the longest first: one may be a part of another

    @classmethod
    def of(cls, *settings: Any, environ: Mapping[str, str] = os.environ) -> Secrets:
        """Those of nested settings, and W&B's key."""
        found = {environ.get("WANDB_API_KEY", "")}
        for tree in settings:
            found.update(_secrets(tree, secret=False))
        found = {text for text in found if len(text) >= SHORTEST and text != HIDDEN}
        return cls(tuple(sorted(found, key=lambda text: (-len(text), text))))

    @classmethod
    def of_arguments(cls, arguments: Sequence[str]) -> Secrets:
        """Those of a command line as typed, before anybody has read it: whole values."""
        told = [text.partition("=")[2] for text in arguments if redact_argument(text) != text]
        return cls.of({"secrets": told})

    def hide(self, text: str) -> str:
        """``text`` without them, and without those of any URL in it."""
        for secret in self.texts:
            text = text.replace(secret, HIDDEN)
        return _without_url_secrets(text)

    def hide_in(self, error: BaseException) -> None:
        """Take them out of what an exception says, its notes and its causes included."""
        link: BaseException | None = error
        seen: set[int] = set()
        while link is not None and id(link) not in seen:
            seen.add(id(link))
            link.args = tuple(self.hide(part) if isinstance(part, str) else part for part in link.args)
            if notes := getattr(link, "__notes__", None):
                notes[:] = [self.hide(note) for note in notes]
            link = link.__cause__ or link.__context__


@contextlib.contextmanager
def redacted_argv() -> Iterator[None]:
    """Hide secrets from a library that copies the command line of this process into its records."""
    original = sys.argv
    sys.argv = [redact_argument(argument) for argument in original]
    try:
        yield
    finally:
        sys.argv = original


def _secrets(tree: Any, *, secret: bool) -> Iterator[str]:
    """Every secret of nested settings as text."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _secrets(value, secret=secret or _SECRET.search(str(key)) is not None)
    elif isinstance(tree, (list, tuple)):
        for value in tree:
            yield from _secrets(value, secret=secret)
    elif secret and isinstance(tree, int | float) and abs(tree) >= 1e5:  # a smaller number is anywhere
        yield str(tree)
    elif isinstance(tree, str):
        if secret:
            yield tree
        yield from (part for user in _USER_OF_URL.findall(tree) for part in (user, *user.split(":", 1)[1:]))
        yield from (value for name, value in _QUERY_OF_URL.findall(tree) if _is_secret_query(name))


def _texts(tree: Any) -> Iterator[str]:
    if isinstance(tree, Mapping):
        tree = list(tree.values())
    if isinstance(tree, (list, tuple)):
        for value in tree:
            yield from _texts(value)
    elif isinstance(tree, str):
        yield tree


def _without_url_secrets(text: str) -> str:
    if "://" not in text:
        return text
    text = _USER_OF_URL.sub(HIDDEN, text)
    return _QUERY_OF_URL.sub(lambda found: f"{found[1]}={HIDDEN}" if _is_secret_query(found[1]) else found[0], text)


def _is_secret_query(name: str) -> bool:
    return bool(_SECRET.search(name) or _SIGNATURE.search(name))


def _without_urls(text: str) -> str:
    return re.sub(r"\w+://[^\s'\",}\]]*", "", text)
