"""Topics found by the ends of their names, and refused by their types."""

from __future__ import annotations

from pathlib import Path

import pytest
from vinn.errors import DatasetError
from vinn.rollout.storage.topics import ends_in, find_topic, find_topics

BAG = Path("bag")


@pytest.mark.parametrize(
    ("topic", "wanted", "found"),
    [
        ("/policy/prediction", "policy/prediction", True),
        ("/left/policy/prediction", "/policy/prediction", True),
        ("/a/b/policy/prediction", "policy/prediction", True),
        ("/my_policy/prediction", "policy/prediction", False),
        ("/policy/prediction/raw", "policy/prediction", False),
        ("/wrist_camera/image_raw/compressed", "wrist_camera/image_raw", False),
        ("policy/prediction", "/policy/prediction/", True),
    ],
)
def test_whole_names_count(topic: str, wanted: str, found: bool) -> None:
    assert ends_in(topic, wanted) is found
    assert (find_topic([topic], wanted, BAG) is not None) is found


def test_the_very_name_wins_and_two_ends_are_refused() -> None:
    assert find_topic(["/left/odom", "/odom"], "odom", BAG) == "/odom"
    with pytest.raises(DatasetError, match=r"bag: odom was recorded in .*/left/odom, /right/odom"):
        find_topic(["/right/odom", "/left/odom"], "odom", BAG)
    assert find_topic(["/right/odom", "/left/odom"], "/left/odom", BAG) == "/left/odom"


def test_types_are_checked_and_named() -> None:
    recorded = {"/left/odom": "nav_msgs/msg/Odometry", "/text": "std_msgs/msg/String"}
    assert find_topics(BAG, recorded, {"odom": ("nav_msgs/msg/Odometry",), "no": ("x",)}) == {
        "/left/odom": "odom"
    }
    with pytest.raises(DatasetError, match="/text is of type std_msgs/msg/String; allowed: A or B"):
        find_topics(BAG, recorded, {"text": ("A", "B")})
