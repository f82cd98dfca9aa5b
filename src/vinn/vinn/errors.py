"""The errors a user can cause. Each message is one line: what, where, the value, what is allowed.

The command line prints the message alone and exits with code 2; nodes refuse the transition or the
request with it. Anything else that escapes is a bug and keeps its traceback.
"""


class VinnError(Exception):
    """Base of every error that a user's input, file or device can cause."""


class ConfigError(VinnError):
    """A setting is unknown, of the wrong type, or out of range."""


class DatasetError(VinnError):
    """A demonstration or a dataset on disk is missing, malformed or truncated."""


class ArtefactError(VinnError):
    """An encoder or policy artefact is missing, malformed or truncated."""


class ArtefactMismatchError(ArtefactError):
    """Two parts that must belong together do not; the message names both values."""


class ImageError(VinnError):
    """An image has the wrong shape, type or size, or cannot be decoded."""


class CameraError(VinnError):
    """A camera, video file or image folder cannot be opened or read."""


class MessageError(VinnError):
    """A message holds a word that this version does not know, or a number that is none."""


class RobotError(VinnError):
    """The robot refused, timed out, or reports a state in which it must not move."""
