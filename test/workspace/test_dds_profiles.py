"""Fast DDS's profiles say the same where they should, and keep a message within one packet."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

CONFIG = Path(__file__).parents[2] / "config"
_ETHERNET_BYTES, _IP_AND_UDP_BYTES = 1500, 28
_PARTICIPANT = "{http://www.eprosima.com}participant"


def profiles(name: str) -> ElementTree.Element:
    return ElementTree.parse(CONFIG / name).getroot()


def test_either_version_of_fast_dds_gets_the_same_of_a_network() -> None:
    second = ElementTree.tostring(profiles("fastdds_2_network.xml"), encoding="unicode")
    third = ElementTree.tostring(profiles("fastdds_network.xml"), encoding="unicode")
    assert "heartbeat_period" not in second
    assert second.replace("heartbeatPeriod", "heartbeat_period") == third


def test_a_participant_is_the_same_on_one_machine_and_on_two() -> None:
    one, network = (
        ElementTree.tostring(found).strip()
        for name in ("fastdds.xml", "fastdds_network.xml")
        for found in profiles(name).iter(_PARTICIPANT)
    )
    assert one == network


def test_a_message_on_a_network_fits_into_one_packet() -> None:
    (limit,) = profiles("fastdds_network.xml").iter("{http://www.eprosima.com}maxMessageSize")
    assert 1000 <= int(limit.text or "") <= _ETHERNET_BYTES - _IP_AND_UDP_BYTES
