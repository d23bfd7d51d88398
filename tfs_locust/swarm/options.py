"""The ``--tfs-*`` options: declared for Locust's parser and web form, and read into :class:`Settings`.

Values arrive as text, from the command line, the environment or the web form alike, and are all read in one place, so
that all faults are found at once.
"""

from __future__ import annotations

import re
from argparse import ArgumentParser as AnyParser
from argparse import Namespace, _AppendAction
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from configargparse import ArgumentParser

from tfs_locust.transport.tls import Tls, client_context

Value = TypeVar("Value")

_BETWEEN = " | "


class SettingsError(ValueError):
    """Settings that cannot be used. ``problems`` holds a sentence for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Settings:
    """What the options say. None: not given, so the user class decides, or its default holds."""

    model: str | None
    version: int | None
    version_label: str | None
    signature: str | None
    rows: int | None
    timeout_s: float | None
    payloads: int | None
    seed: int
    dims: dict[str, tuple[int, ...]]
    headers: dict[str, str]
    tls: Tls
    """Used where the host's scheme is ``grpcs`` or ``https``."""


class _Several(_AppendAction):
    """Keeps what is given several times as one text.

    Locust's web form shows a list with commas between and takes it apart at every comma, also at those within an item.
    An append action all the same: configargparse reads lists from the environment and files for no other.
    """

    def __call__(self, _parser: AnyParser, namespace: Namespace, values: Any, _option: str | None = None) -> None:
        before = getattr(namespace, self.dest, None)
        setattr(namespace, self.dest, values if before is None else before + _BETWEEN + values)


def add_options(parser: ArgumentParser) -> None:
    """Declare the options, on Locust's parser or one of our own commands'."""
    group = parser.add_argument_group(
        "TensorFlow Serving",
        "What is asked of the model server. Class attributes of a user go before these. "
        "--tfs-dim and --tfs-header may be given several times.",
    )

    def add(name: str, help_text: str, *, secret: bool = False, **more: Any) -> None:
        action = group.add_argument(
            f"--tfs-{name}", env_var="TFS_" + name.upper().replace("-", "_"), help=help_text, **more
        )
        # Locust's parser sets these for its web form, but only for options outside of groups
        action.include_in_web_ui = True
        action.is_secret = secret
        action.is_required = action.is_multiple = False

    # the web form shows each of these texts on one line
    add("model", "Name of the model on the server. Default: default", metavar="NAME")
    add("version", "Version number to ask for. Default: the server's newest", metavar="N")
    add("version-label", "Version label to ask for instead, such as stable or canary", metavar="LABEL")
    add("signature", "Signature to call. Default: serving_default", metavar="NAME")
    add("rows", "Rows (examples) in each request. Default: 1", metavar="N")
    add("timeout", "Deadline of each request, as 10, 10s or 500ms. Default: 10s", metavar="TIME")
    add("payloads", "Distinct payloads, made before the run and sent in turn. Default: 64", metavar="N")
    add("seed", "Seed of all that is random in payloads. Default: 0", metavar="N")
    add(
        "dim",
        "Open sizes of an input's rows, as NAME=N,N or NAME=N | OTHER=N. Default: 1 each",
        action=_Several,
        metavar="NAME=N",
    )
    add(
        "header",
        "HTTP header or gRPC metadata of every request, as NAME: VALUE | OTHER: VALUE",
        action=_Several,
        metavar="'NAME: VALUE'",
        secret=True,
    )
    add("tls-ca", "For grpcs and https: PEM file of the authorities to trust. Default: the system's", metavar="FILE")
    add("tls-cert", "For grpcs and https: PEM file of the client's certificate", metavar="FILE")
    add("tls-key", "For grpcs and https: PEM file of the client's key", metavar="FILE")


def read_settings(options: Namespace) -> tuple[Settings, list[str]]:
    """The options as Settings, and a sentence for each that cannot be used, which counts as not given."""
    problems: list[str] = []

    def read(name: str, parse: Callable[[str], Value]) -> Value | None:
        text = getattr(options, "tfs_" + name.replace("-", "_"), None)
        if text is None or not str(text).strip():  # the web form sends empty text for what was left open
            return None
        try:
            return parse(str(text).strip())
        except ValueError as error:
            problems.append(f"--tfs-{name} {text!r}: {error}")
            return None

    def read_each(name: str, parse: Callable[[str], tuple[str, Value]]) -> dict[str, Value]:
        given = getattr(options, "tfs_" + name, None) or ""
        found: dict[str, Value] = {}
        for text in (_BETWEEN.join(given) if isinstance(given, list) else given).split(_BETWEEN):
            if not text.strip():
                continue
            try:
                key, value = parse(text)
            except ValueError as error:
                problems.append(f"--tfs-{name} {text!r}: {error}")
                continue
            if key in found:
                problems.append(f"--tfs-{name} {text!r}: {key!r} is given twice")
            found[key] = value
        return found

    settings = Settings(
        model=read("model", str),
        version=read("version", at_least(0)),
        version_label=read("version-label", str),
        signature=read("signature", str),
        rows=read("rows", at_least(1)),
        timeout_s=read("timeout", duration_s),
        payloads=read("payloads", at_least(1)),
        seed=read("seed", at_least(0)) or 0,
        dims=read_each("dim", _dim),
        headers=read_each("header", _header),
        tls=Tls(read("tls-ca", _readable), read("tls-cert", _readable), read("tls-key", _readable)),
    )
    if settings.version is not None and settings.version_label is not None:
        problems.append("--tfs-version and --tfs-version-label exclude each other: give one of them")
        settings = replace(settings, version_label=None)
    if (settings.tls.certificate_file is None) != (settings.tls.key_file is None):
        problems.append("--tfs-tls-cert and --tfs-tls-key belong together: give both or neither")
    elif not any(problem.startswith("--tfs-tls") for problem in problems):
        try:
            client_context(settings.tls)
        except OSError as error:
            problems.append(f"--tfs-tls-ca, --tfs-tls-cert, --tfs-tls-key: not usable as PEM files: {error}")
    return settings, problems


def at_least(least: int) -> Callable[[str], int]:
    """A reader of whole numbers from ``least`` up."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"\d+", text) or int(text) < least:
            raise ValueError(f"expected a whole number of at least {least}")
        return int(text)

    return parse


_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(us|ms|s|m)?")
_UNIT_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, None: 1.0}


def duration_s(text: str) -> float:
    """Seconds in ``10``, ``10s``, ``500ms`` or ``2m``. Raises ValueError."""
    match = _DURATION.fullmatch(text)
    if match is None or float(match[1]) <= 0:
        raise ValueError("expected a time above zero, as 10, 10s or 500ms")
    return float(match[1]) * _UNIT_S[match[2]]


def _dim(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, sizes = text.strip().rpartition("=")
    if not name or not re.fullmatch(r"\d+(\s*[,x]\s*\d+)*", sizes):
        raise ValueError("expected NAME=N or NAME=N,N with the name of an input")
    return name, tuple(int(size) for size in re.findall(r"\d+", sizes))


_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    name, value = name.strip(), value.strip()
    if not colon or not _TOKEN.fullmatch(name) or not value.isprintable() or not value.isascii():
        raise ValueError("expected 'NAME: VALUE' in plain ASCII")
    if name.lower().startswith("grpc-") or name.lower().endswith("-bin"):
        raise ValueError("names that begin with grpc- or end with -bin are gRPC's own")
    if name.lower() in {"content-length", "transfer-encoding", "connection"}:
        raise ValueError("this header is the transport's own")
    return name, value


def _readable(text: str) -> str:
    try:
        Path(text).read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    return text
