"""Things of one sort by name: those of this package, and those that installed packages add.

A package adds one by an entry point in the sort's group. In its setup.cfg, for a policy kind:

    [options.entry_points]
    vinn.policies =
        mean = my_package.mean:KIND

A script adds one for as long as it runs: `POLICY_KINDS.add(KIND)`. Nothing is imported before it is
asked for by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol, TypeVar

from vinn.errors import ConfigError


class Named(Protocol):
    """What a registry keeps."""

    @property
    def name(self) -> str:
        """As users write it."""


ThingT = TypeVar("ThingT", bound=Named)


class Registry(Mapping[str, ThingT]):
    """Things of one sort by name. Names of this package cannot be taken by another one.

    All that are known: this package's, then those added, then those of other packages.
    """

    def __init__(
        self, what: str, group: str, sort: type[Any], own: Mapping[str, str | ThingT]
    ) -> None:
        """Args:
        what: the sort, for messages, e.g. "policy kind".
        group: of the entry points by which packages add to it, e.g. "vinn.policies".
        sort: what each must be.
        own: those of this package by name, or where they are: "module:attribute".
        """
        self.what, self.group = what, group
        self._sort, self._own = sort, dict(own)
        self._added: dict[str, ThingT] = {}
        self._installed: dict[str, list[EntryPoint]] | None = None

    @property
    def own(self) -> tuple[str, ...]:
        """Names of this package's."""
        return tuple(self._own)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._own, *self._added, *sorted(self._of_packages())]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._added or name in self._of_packages()

    def get(self, name: str, default: Any = None) -> Any:
        """One by its name; `default` where it is unknown."""
        # What is unknown raises no KeyError.
        return self[name] if name in self else default  # noqa: SIM401

    def add(self, thing: ThingT) -> None:
        """Make one known in this process.

        Raises:
            ConfigError: another one has its name, or it is not of this sort.
        """
        self._check(thing, getattr(thing, "name", ""), "it")
        if thing.name in self._own or self._added.get(thing.name, thing) is not thing:
            raise ConfigError(f"{self.what} '{thing.name}' is there already; choose another name")
        self._added[thing.name] = thing

    def __getitem__(self, name: str) -> ThingT:
        """One by its name.

        Raises:
            ConfigError: it is unknown, its package cannot be imported, or two packages have one.
        """
        if name in self._own:
            place = self._own[name]
            if not isinstance(place, str):
                return place
            module, _, attribute = place.partition(":")
            return self._check(getattr(import_module(module), attribute), name, module)
        if name not in self._added:
            found = self._of_packages().get(name)
            if not found:
                raise ConfigError(f"{self.what} '{name}' is unknown; known: {', '.join(self)}")
            self._added[name] = self._loaded(name, found)
        return self._added[name]

    def _of_packages(self) -> dict[str, list[EntryPoint]]:
        if self._installed is None:
            self._installed = {}
            for point in entry_points(group=self.group):
                there = self._installed.setdefault(point.name, [])
                # A package that is found in two folders of the path is listed twice.
                if all(point.value != other.value for other in there):
                    there.append(point)
        return self._installed

    def _loaded(self, name: str, found: list[EntryPoint]) -> ThingT:
        if len(found) > 1:
            places = " and ".join(point.value for point in found)
            raise ConfigError(f"{self.what} '{name}' is in two packages: {places}; remove one")
        try:
            thing = found[0].load()
        # Whatever somebody else's module does when it is imported.
        except Exception as cause:
            reason = " ".join(f"{type(cause).__name__}: {cause}".split())
            raise ConfigError(
                f"{self.what} '{name}': {found[0].value} cannot be loaded: {reason}"
            ) from cause
        return self._check(thing, name, found[0].value)

    def _check(self, thing: object, name: str, place: str) -> ThingT:
        if not isinstance(thing, self._sort):
            raise ConfigError(
                f"{self.what} '{name}': {place} is a {type(thing).__name__}; allowed: "
                f"{self._sort.__name__}"
            )
        if thing.name != name:
            raise ConfigError(f"{self.what} '{name}': {place} calls itself '{thing.name}'")
        found: ThingT = thing
        return found
