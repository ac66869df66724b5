"""Why a reading is not believed, in words for people, and what it may be instead."""

from __future__ import annotations

from typing import NamedTuple

from base.messages import Text

TEXTS = {
    "range": Text(de="außerhalb von {low:g} bis {high:g}", en="outside {low:g} to {high:g}"),
    "step": Text(
        de="springt von {before:g} schneller, als möglich ist",
        en="jumps from {before:g} faster than it can",
    ),
    "stuck": Text(
        de="seit {hours:.3g} h unverändert: hängt der Messfühler?",
        en="unchanged for {hours:.3g} h: has the sensor stopped?",
    ),
    "fall": Text(
        de="Zähler fällt von {before:.12g}: auf 0 gesetzt oder getauscht?",
        en="the counter falls from {before:.12g}: reset or exchanged?",
    ),
    "jump": Text(
        de="Zähler springt von {before:.12g} um mehr, als fließen kann",
        en="the counter jumps from {before:.12g} by more than can flow",
    ),
    "word_order": Text(
        de="Wortfolge vertauscht? Andersherum wären es {other:.6g} (`word_order` im Profil)",
        en="words in the wrong order? The other way round it is {other:.6g} (`word_order` in the profile)",
    ),
    "tiny": Text(
        de="so kleine Zahlen misst niemand: Wortfolge oder Datentyp prüfen (`word_order`, `type` im Profil)",
        en="nobody measures so little: check word order and type (`word_order`, `type` in the profile)",
    ),
    "no_value": Text(
        de="{pattern} heißt bei vielen Geräten: kein Wert (`no_value` im Profil)",
        en="{pattern} means with many devices that there is no value (`no_value` in the profile)",
    ),
    "unsigned": Text(
        de="ohne Vorzeichen gelesen wären es {other:.12g} (`type` im Profil)",
        en="read without a sign it is {other:.12g} (`type` in the profile)",
    ),
    "power_on": Text(
        de="85 °C meldet ein DS18B20 nach dem Einschalten: Versorgung und Leitung prüfen",
        en="85 °C is what a DS18B20 says after power-on: check its supply and wires",
    ),
    "gone": Text(
        de="-127 °C heißt: kein DS18B20 an der Leitung",
        en="-127 °C means that there is no DS18B20 on the line",
    ),
    "factor": Text(
        de="{energy} zählt das {factor:g}fache dessen, was {power} anzeigt: Einheit oder Wandlerfaktor prüfen",
        en="{energy} counts {factor:g} times what {power} shows: check the unit or the transformer's ratio",
    ),
    "sign": Text(
        de="{energy} zählt, während {power} in die andere Richtung zeigt: Wandler gedreht?",
        en="{energy} counts while {power} points the other way: is a transformer turned round?",
    ),
}


class Hint(NamedTuple):
    """A row of `TEXTS`, and what fills its places."""

    kind: str
    values: dict[str, float | str] = {}  # noqa: RUF012 - a tuple's default, never changed

    def say(self) -> str:
        """Return it in the language of this process."""
        return TEXTS[self.kind].say(**self.values)

    def english(self) -> str:
        """Return it as it stands in logs."""
        return TEXTS[self.kind].en.format_map(self.values)
