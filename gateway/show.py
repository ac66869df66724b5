"""What the agent says of itself, for people: tables of a terminal's width, in German and English."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from base.messages import Text
from edge import counts
from edge.plausibility.hints import TEXTS
from gateway.bustime import percent
from gateway.counted import BATCHES, IN_BATCHES, READINGS, WAIT
from wire.vocabulary import quantities

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Answer = dict[str, Any]

LABELS = {
    "gateway": Text(de="Gateway", en="Gateway"),
    "config": Text(de="Konfiguration", en="Configuration"),
    "time": Text(de="Uhrzeit", en="Time"),
    "connection": Text(de="Verbindung", en="Connection"),
    "spool": Text(de="Zwischenspeicher", en="Spool"),
    "window": Text(de="Unterwegs", en="In flight"),
    "sealed": Text(de="Versiegelt", en="Sealed"),
    "unsealed": Text(de="NICHT VERSIEGELT", en="NOT SEALED"),
    "refused": Text(de="NICHT GELADEN", en="NOT RELOADED"),
    "lost": Text(de="VERLOREN", en="LOST"),
    "rejected": Text(de="Abgelehnt", en="Rejected"),
}
STATES = {
    "online": Text(de="läuft", en="running"),
    "no_time": Text(de="läuft, wartet auf die Uhrzeit", en="running, waits for the time"),
    "offline": Text(de="läuft nicht", en="not running"),
}
CONNECTED = Text(de="verbunden mit {broker}", en="connected to {broker}")
NOT_CONNECTED = Text(de="NICHT verbunden mit {broker}", en="NOT connected to {broker}")
SINCE = Text(de="seit {age}, Version {version}", en="for {age}, version {version}")
TIMES = {
    "kernel": Text(de="vom Kernel bestätigt", en="synchronised, the kernel says"),
    "trusted": Text(de="von der Uhr des Rechners, der vertraut wird", en="from the machine's clock, which is trusted"),
    "collector": Text(
        de="vom Sammler, seit {age}; der Rechner hat keine eigene: Messwerte tragen die Markierung 16",
        en="from the collector, for {age}; the machine has none: readings carry flag 16",
    ),
    None: Text(
        de="KEINE seit {age}; Messwerte werden aufgehoben und später eingeordnet",
        en="NONE for {age}; readings are kept, and placed when it is known",
    ),
}
DOUBT = Text(
    de="UNSICHER seit {age}: die Uhr des Rechners weicht um {ahead} s ab; Messwerte tragen die Markierung 16",
    en="DOUBTFUL for {age}: the machine's clock is off by {ahead} s; readings carry flag 16",
)
SPOOL = Text(
    de="{waiting} {wait} auf Bestätigung, das älteste seit {age}; {size}",
    en="{waiting} {wait} to be confirmed, the oldest for {age}; {size}",
)
SPOOL_ILL = Text(de="NICHT LESBAR: {spool_error}", en="CANNOT BE READ: {spool_error}")
UNSEALED = Text(
    de="{pending} {wait} im Arbeitsspeicher: {seal_error}",
    en="{pending} {wait} in memory: {seal_error}",
)
SPOOL_EMPTY = Text(de="alles bestätigt; {size}", en="all confirmed; {size}")
WINDOW = Text(de="{in_flight_batches} von {window}", en="{in_flight_batches} of {window}")
SEALED = Text(
    de="{readings} in {batches}, {confirmed_readings} bestätigt, {pending_readings} noch nicht versiegelt",
    en="{readings} in {batches}, {confirmed_readings} confirmed, {pending_readings} not sealed yet",
)
REJECTED = Text(
    de="{readings}, bleiben im Speicher",
    en="{readings}, kept in the spool",
)
LOST = Text(
    de="{readings}: der Datenträger nimmt nichts an",
    en="{readings}: the disk takes nothing",
)
BUS = Text(de="Bus {id} ({place}), zu {share} ausgelastet", en="Bus {id} ({place}), {share} of its time used")
HEADS = (
    Text(de="Gerät", en="Device"),
    Text(de="antwortet", en="answers"),
    Text(de="gelesen vor", en="read"),
    Text(de="alle", en="every"),
    Text(de="Werte", en="values"),
    Text(de="Fehler", en="errors"),
    Text(de="nächster Versuch", en="next try"),
)
LINK = Text(de="verbunden:", en="connected:")
WAITING = Text(de="wartend: {batches}", en="waiting: {batches}")
SPOOL_NONE = Text(de="Speicher: NICHT LESBAR", en="spool: CANNOT BE READ")
TROUBLES = (("unsealed", "seal_error"), ("lost", "dropped_readings"))
YES, NO, UNKNOWN = Text(de="ja", en="yes"), Text(de="NEIN", en="NO"), Text(de="?", en="?")
AGO = Text(de="{age}", en="{age} ago")
IN = Text(de="in {age}", en="in {age}")
NEVER = Text(de="nie", en="never")


class Column(NamedTuple):
    """How wide a column of the table of devices is at least, and to which side it leans."""

    width: int
    side: str


COLUMNS = (
    Column(24, "<"),
    Column(9, "<"),
    Column(11, ">"),
    Column(7, ">"),
    Column(6, ">"),
    Column(13, ">"),
    Column(16, ">"),
)


def status(answer: Answer) -> list[str]:
    """Show how a gateway, its buses and devices are."""
    return [*head(answer), *(line for bus in answer.get("buses", ()) for line in bus_table(bus, answer["now_ms"]))]


def head(answer: Answer) -> list[str]:
    """Show how a gateway is, its buses left out."""
    rows = [("gateway", _state(answer))]
    if answer.get("refused"):
        rows.append(("refused", answer["refused"]["error"]))
    if answer["running"]:
        connected = CONNECTED if answer["connected"] else NOT_CONNECTED
        rows += [
            *(("config", answer["config"]), ("time", _time(answer["time"]))),
            ("connection", connected.say(broker=answer["broker"])),
        ]
        rows += [
            ("spool", _spool(answer)),
            ("window", WINDOW.say(**answer, window=IN_BATCHES.say(answer["window_batches"]))),
        ]
    if answer.get("seal_error"):
        count = answer["pending_readings"]
        rows.append(("unsealed", UNSEALED.say(**answer, pending=READINGS.say(count), wait=WAIT.form(count))))
    if not answer.get("spool_error"):
        rows.append(("sealed", _sealed(answer)))
    if answer.get("rejected_readings"):
        rows.append(("rejected", REJECTED.say(readings=READINGS.say(answer["rejected_readings"]))))
    if answer.get("dropped_readings"):
        rows.append(("lost", LOST.say(readings=READINGS.say(answer["dropped_readings"]))))
    return [f"{LABELS[name].say():<17} {text}" for name, text in rows]


def small(answer: Answer, columns: int) -> list[str]:
    """Show the same in a small window: what is wrong, and of each device whether it answers and when it was read."""
    spool = {} if answer.get("spool_error") else {"batches": answer["waiting_batches"]}
    link = YES if answer["connected"] else NO
    lines = [f"{answer['gateway']}  {LINK.say()} {link.say()}  {WAITING.say(**spool) if spool else SPOOL_NONE.say()}"]
    refused = answer.get("refused") or {}
    troubles = (("refused", refused.get("error")), *((name, answer.get(member)) for name, member in TROUBLES))
    lines += [f"{LABELS[name].say()}: {trouble}" for name, trouble in troubles if trouble]
    for bus in answer["buses"]:
        for device in bus["devices"]:
            _, answers, read, *_ = _device(device, answer["now_ms"])
            rest = f" {answers:<5} {read:>11}"
            width = max(8, columns - len(rest))
            lines.append(f"{_cut(device['id'], width):<{width}}{rest}")
    return lines


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}~"


def bus_table(bus: Answer, now_ms: int) -> list[str]:
    """Show one bus and its devices: a line each, why the last reading failed, and the last values where they are."""
    lines = ["", BUS.say(id=bus["id"], place=bus["place"], share=percent(bus["share"]))]
    if counted := counts.sentence(bus.get("counts", {})):
        lines.append(f"    {counted}")
    lines.append(_row(h.say() for h in HEADS))
    for device in bus["devices"]:
        lines.append(_row(_device(device, now_ms)))
        if device["error"]:
            lines.append(f"    ! {device['error']}")
        lines += [f"    ? {_suspicion(said)}" for said in device.get("suspect", ())]
        lines += latest(device, now_ms)
    return lines


def _suspicion(said: Answer) -> str:
    text = TEXTS[said["kind"]].say(**said["values"]) if said["kind"] in TEXTS else said["text"]
    return f"{_label(said['name'])}: {text}"


def _label(reading: str) -> str:
    quantity, _, channel = reading.partition("/")
    known = quantities().get(quantity)
    label = known.label.say() if known else quantity
    return f"{label} {channel}".strip()


def latest(device: Answer, now_ms: int) -> list[str]:
    """Show the last values of a device: name, value, unit, age."""
    lines = []
    for value in device.get("latest", ()):
        ago = age((now_ms - value["at_ms"]) / 1000)
        lines.append(
            f"    {_label(value['name'])}".ljust(44)[:44] + f" {value['value']:>14.10g} {value['unit']:<6} {ago:>8}"
        )
    return lines


def age(seconds: float) -> str:
    """Write a time that has passed, in its two greatest units at most."""
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    if whole < 2 * 3600:
        return f"{whole // 60} min"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def size(count: float) -> str:
    """Write a number of bytes."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("the last unit takes all")


def _state(answer: Answer) -> str:
    state = STATES[answer["state"]].say()
    if not answer["running"]:
        return f"{answer['gateway']}, {state}"
    since = SINCE.say(age=age((answer["now_ms"] - answer["since_ms"]) / 1000), version=answer["version"])
    return f"{answer['gateway']}, {state} {since}"


def _spool(answer: Answer) -> str:
    if answer.get("spool_error"):
        return SPOOL_ILL.say(**answer)
    said = SPOOL if answer["waiting_batches"] else SPOOL_EMPTY
    count = answer["waiting_batches"]
    words = {"waiting": BATCHES.say(count), "wait": WAIT.form(count)}
    return said.say(**{**answer, **words, "age": age(answer["waiting_s"]), "size": size(answer["spool_bytes"])})


def _sealed(answer: Answer) -> str:
    readings, batches = READINGS.say(answer["sealed_readings"]), IN_BATCHES.say(answer["sealed_batches"])
    return SEALED.say(**answer, readings=readings, batches=batches)


def _time(state: Answer) -> str:
    since = age(state["since_s"])
    if state["is_doubtful"] and state["origin"] != "collector":
        return DOUBT.say(age=since, ahead=f"{state['wall_ahead_ms'] / 1000:+.1f}")
    return TIMES[state["origin"]].say(age=since)


def _device(device: Mapping[str, Any], now_ms: int) -> Iterator[str]:
    yield device["id"]
    yield {True: YES, False: NO, None: UNKNOWN}[device["reachable"]].say()
    yield NEVER.say() if device["read_at_ms"] is None else AGO.say(age=age((now_ms - device["read_at_ms"]) / 1000))
    yield f"{device['interval_s']:g} s"
    yield str(device["values"])
    yield f"{device['errors']}/{device['requests']}"
    yield "" if device["parked_s"] is None else IN.say(age=age(device["parked_s"]))


def _row(cells: Iterator[str]) -> str:
    return "  ".join(
        f"{cell:{column.side}{column.width}}" for cell, column in zip(cells, COLUMNS, strict=True)
    ).rstrip()
