"""`messnetz device decode lorawan`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from base.errors import ConfigError
from edge.lorawan import keys as keyring
from edge.lorawan.decode import decode
from edge.lorawan.phy import FrameError

if TYPE_CHECKING:
    from pathlib import Path

FRAME = "40f17dbe4900020001954378762b11ff0d"
SESSION = (
    "{dev_addr: 49be7df1, nwk_s_key: 44024241ed4ce9a68c6a8bc055233fd3, app_s_key: ec925802ae430ca77fd3dd73cb2cc588}"
)
OTAA = "{app_key: 98929b92c49edba9676d646d3b612456}"


def _keys(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    file = tmp_path / "keys.yaml"
    file.write_text(text)
    file.chmod(mode)
    return file


def _decoded(frame: str, keys: Path | None = None) -> dict[str, Any]:
    options = [] if keys is None else ["--keys", str(keys)]
    done = CliRunner().invoke(decode, [frame, "--json", *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    said: dict[str, Any] = json.loads(done.output)
    return said


def test_with_its_keys_a_frame_is_read_whole(tmp_path: Path) -> None:
    """Counter, payload and MIC."""
    said = _decoded(FRAME, _keys(tmp_path, f"70-B3-D5-7E-D0-05-12-34: {SESSION}"))
    assert (said["kind"], said["dev_eui"], said["dev_addr"]) == ("unconfirmed_up", "70b3d57ed0051234", "49be7df1")
    assert (said["f_cnt"], said["f_port"], said["payload"], said["mic_ok"]) == (2, 1, "74657374", True)


def test_without_keys_what_stands_in_the_clear_is_said() -> None:
    """Address, counter, port and length of a data frame are no secret."""
    said = _decoded(FRAME)
    assert (said["dev_addr"], said["f_cnt"], said["encrypted"]) == ("49be7df1", 2, "95437876")
    assert (said["payload"], said["mic_ok"]) == (None, None)
    assert "no session keys" in said["notes"][0]


def test_a_wrong_mic_is_said_and_nothing_is_decrypted(tmp_path: Path) -> None:
    """What cannot be believed is not shown as a payload."""
    said = _decoded(FRAME[:-1] + "e", _keys(tmp_path, f"70b3d57ed0051234: {SESSION}"))
    assert (said["mic_ok"], said["payload"]) == (False, None)


def test_the_app_s_key_alone_decrypts_and_says_that_it_did_not_check(tmp_path: Path) -> None:
    """As some network servers hand out that key only."""
    keys = _keys(tmp_path, "70b3d57ed0051234: {dev_addr: 49be7df1, app_s_key: ec925802ae430ca77fd3dd73cb2cc588}")
    said = _decoded(FRAME, keys)
    assert (said["mic_ok"], said["payload"]) == (None, "74657374")
    assert "not checked" in said["notes"][0]


def test_a_join_request_is_checked_with_the_app_key(tmp_path: Path) -> None:
    """One digit of the recorded frame was changed by who published it: its MIC is wrong."""
    keys = _keys(tmp_path, f'"3331383274356905": {OTAA}')
    bad = _decoded("0039363463336913aa05693574323831330489c65b1305", keys)
    good = _decoded("0039363463336913aa05693574323831330489c65b1304", keys)
    assert (good["dev_eui"], good["join_eui"]) == ("3331383274356905", "aa13693363343639")
    assert good["dev_nonce"] == 0x8904
    assert (bad["mic_ok"], good["mic_ok"]) == (False, True)
    assert _decoded("0039363463336913aa05693574323831330489c65b1304")["mic_ok"] is None


def test_a_join_accept_is_opened_by_the_key_that_fits(tmp_path: Path) -> None:
    """It says neither DevEUI nor anything else in the clear."""
    keys = _keys(tmp_path, f'{"01" * 8}: {OTAA}\n{"0a" * 8}: {{app_key: "{"0" * 32}"}}')
    said = _decoded("20e3de108795f776b8037610ef7869b5b3", keys)
    assert (said["dev_eui"], said["dev_addr"], said["rx_delay_s"], said["mic_ok"]) == ("0a" * 8, "00000000", 1, True)
    assert "no app_key" in _decoded("20e3de108795f776b8037610ef7869b5b3")["notes"][0]


def test_the_mic_of_an_uplink_of_1_1_is_checked(tmp_path: Path) -> None:
    """lora-packet's own example (MIT): data rate 0, channel 1."""
    keys = _keys(
        tmp_path,
        "70b3d57ed0051234: {dev_addr: e0106373, f_nwk_s_int_key: e163635133105cc690cb2d57ba9c31b9, "
        "s_nwk_s_int_key: 05ec7c795b2f0b5bcdfa710db52b9d8f}",
    )
    assert _decoded("40736310e080000000c86c36165131", keys)["mic_ok"] is True
    assert _decoded("40736310e080000000c86c36165132", keys)["mic_ok"] is False


def test_what_is_no_frame_is_refused_in_our_words() -> None:
    """An error of ours, and a bad parameter, each without a stack trace to a user."""
    with pytest.raises(FrameError, match="5 to 255"):
        CliRunner().invoke(decode, ["40"], catch_exceptions=False)
    assert CliRunner().invoke(decode, ["4x"]).exit_code == 2


def test_people_read_lines(tmp_path: Path) -> None:
    """The same as for programs, a line for each."""
    done = CliRunner().invoke(decode, [FRAME, "--keys", str(_keys(tmp_path, f"70b3d57ed0051234: {SESSION}"))])
    assert "payload              74657374" in done.output
    assert "MIC                  right" in done.output


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        (f"70b3d57ed0051234: {SESSION}", 0o640, "mode 0640"),
        ("70b3d57ed0051234: {app_key: 98929b92c49edba9676d646d3b61245}", 0o600, "32 hexadecimal digits"),
        (f"70b3d57ed0051234: {{app_key: {'1' * 32}}}", 0o600, "in quotes"),
        ("70b3d57ed0051234: {app_kee: 98929b92c49edba9676d646d3b612456}", 0o600, "an unknown key"),
        ("70b3d57ed005123: {}", 0o600, "no DevEUI"),
        ("70b3d57ed0051234: 98929b92c49edba9676d646d3b612456", 0o600, "no mapping"),
        (f"70b3d57ed0051234: {OTAA}\n70-b3-d5-7e-d0-05-12-34: {OTAA}", 0o600, "a second time"),
        ("70b3d57ed0051234: {dev_addr: 49be7d}", 0o600, "8 hexadecimal digits"),
        ("70b3d57ed0051234: {app_key: *98929b92c49edba9676d646d3b612456}", 0o600, "no YAML"),
        ("- 98929b92c49edba9676d646d3b612456", 0o600, "no mapping"),
    ],
)
def test_a_bad_file_of_keys_is_named_and_no_key_is_shown(tmp_path: Path, text: str, mode: int, says: str) -> None:
    """The message may end in a log."""
    file = _keys(tmp_path, text, mode)
    with pytest.raises(ConfigError, match=says) as caught:
        keyring.load(file)
    assert "98929b92" not in str(caught.value)
    assert "1111111" not in str(caught.value)


def test_a_missing_file_of_keys_is_an_error(tmp_path: Path) -> None:
    """With the file's name."""
    with pytest.raises(ConfigError, match="no readable file"):
        keyring.load(tmp_path / "none.yaml")
