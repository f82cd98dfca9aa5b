"""Which documented commands are run, on small data, and why the others are only parsed."""

from __future__ import annotations

import re

STOPPED = "runs until somebody stops it, with its nodes; test/ros/bringup does that"
NODES = "asks running nodes; test/ros and test/preflight do that"
INSTALLATION = "needs a ROS 2 installation"
ROOT = "needs root"
MINUTES = "takes minutes or hours"
TRAINING = "takes minutes of training; test/learning does it in a few steps"
BROWSER = "waits for a person in a browser"
HARDWARE = "needs a camera or a robot"
CLUSTER = "needs several machines; test/encoders and test/evaluation use workers of one"
OTHERS_DATA = "needs data sets of others"
FILMS = "needs films, and minutes of structure from motion; test/ingest does that"
INSTALLS = "installs packages"
NAMED = "names folders and demonstrations of the reader's; test/demos runs them"

NOT_RUN = (
    (r"make (demo|test|lint|pytest)", MINUTES),
    (r"make format", "rewrites the repository"),
    (r"(PIP_EXTRA_INDEX_URL=\S+ )?make (setup|develop)", INSTALLS),
    (r"\.venv/bin/pytest", MINUTES),
    (r"(\.venv/bin/)?python -m measure\.", MINUTES),
    (r"(\.venv/bin/)?vinn-bringup", STOPPED),
    (r"(\.venv/bin/)?vinn-operator", NODES),
    (r"vinn doctor", HARDWARE),
    (r"vinn replay RUN\.mcap --ros", NODES),
    (r"vinn eval (tables|grasp-point|beyond|tasks|closed-loop-tables)", MINUTES),
    (r"vinn eval (offline --train DIR|learning-curve)", TRAINING),
    (r"vinn eval offline .*--format", OTHERS_DATA),
    (r"vinn eval closed-loop --task stacking", MINUTES),
    (r"vinn tasks record stacking", MINUTES),
    (r"vinn demos (merge|delete|trim|change-rate|rank) ", NAMED),
    (r"vinn train", TRAINING),
    (r"vinn encoder halve runs/full", "takes a trained encoder; test/encoders halves one"),
    (r"vinn policy build .*--preset grasp-point", TRAINING),
    (r"vinn bench", MINUTES),
    (r"vinn .*--ray-address auto", CLUSTER),
    (r"ray (start|stop)", CLUSTER),
    (r"vinn ingest", FILMS),
    (r"vinn gripper (label|mask)", BROWSER),
    (r"vinn gripper (train|apply)", FILMS),
    (r"vinn demos import vinn-original", OTHERS_DATA),
    (r"vinn camera (calibrate|list)", HARDWARE),
    (r"(VINN_CONSOLE_TOKEN=\S* )?ros2 ", INSTALLATION),
    (r"(rosdep|colcon|rviz2|source) ", INSTALLATION),
    (r"export ROS_SECURITY_", INSTALLATION),
    (r"sudo ", ROOT),
    (r"pip install", INSTALLS),
    (r"docker compose", "needs docker"),
)
"""Pattern of a command's beginning and the reason; what stands here is not run."""

RUN = (
    r"make help",
    r"python3 tools/package_requirements\.py",
    r"vinn (sim (record|play)|encoder export)",
    r"vinn policy (build|info|verify|predict|index)",
    r"vinn eval (closed-loop|report)",
    r"vinn (recordings|report|replay)",
    r"vinn demos (info|validate|view|add|import|export)",
    r"vinn tasks",
    r"vinn camera board",
    r"python examples/",
    r"\(umask 077; openssl",
)

SMALLER = {"--demos": "4", "--trials": "1", "--train": "3", "--test": "2"}
"""Options of which a test has less."""


def reason_not_to_run(text: str) -> str | None:
    """Why a command is only parsed; None: it is run."""
    return next((reason for pattern, reason in NOT_RUN if re.match(pattern, text)), None)


def is_run(text: str) -> bool:
    return any(re.match(pattern, text) for pattern in RUN)


def smaller(text: str) -> str:
    """The command as it is run here: on less, and all that it writes in the folder it is run in."""
    for option, value in SMALLER.items():
        text = re.sub(rf"{option} \d+", f"{option} {value}", text)
    if text.startswith("vinn eval closed-loop") and "--trials" not in text:
        text += " --trials 1"
    return text.replace(" /tmp/", " ")
