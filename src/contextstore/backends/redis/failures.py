"""Turn what redis-py raises into the errors of this library, and say what may pass."""

from __future__ import annotations

from typing import Any, Optional, Tuple

from contextstore._optional import require
from contextstore.backends.place import damaged
from contextstore.errors import (
    BusyError,
    ConfigurationError,
    ContextStoreError,
    UnavailableError,
)


class NotConfirmedError(Exception):
    """Say that too few replicas, or disks, confirmed a write within the time."""


# Answers of a server that is not, or not yet, the one to ask: they pass by themselves.
_PASSING = (
    "LOADING",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "READONLY",
    "MASTERDOWN",
    "NOREPLICAS",
    "UNBLOCKED",
    "MOVED",
    "ASK",
)


class Failures:
    """Judge the errors of redis-py, which is imported when this is made.

    Args:
        location: the address without its password, for the texts of errors.
    """

    def __init__(self, location: str) -> None:
        self._location = location
        self.driver: Any = require("redis", "redis").exceptions

    def is_unknown_script(self, error: BaseException) -> bool:
        """Tell whether the server does not have the script that was named."""
        return isinstance(error, self.driver.NoScriptError)

    def is_lost(self, error: BaseException) -> bool:
        """Tell whether nobody can say if the server did what it was asked."""
        if isinstance(error, NotConfirmedError):
            return True
        lost = (self.driver.ConnectionError, self.driver.TimeoutError, OSError)
        if _is_untrusted(error) or self._is_refusal(error):
            return False
        return isinstance(error, lost)

    def may_pass(self, error: BaseException) -> bool:
        """Tell whether the same may succeed a little later."""
        if self.is_lost(error) or isinstance(error, self.driver.BusyLoadingError):
            return True
        if isinstance(error, (self.driver.MovedError, self.driver.AskError)):
            return True
        return isinstance(error, self.driver.ResponseError) and (
            _says(error, *_PASSING, "BUSY ")
            or isinstance(
                error,
                (
                    self.driver.ClusterDownError,
                    self.driver.TryAgainError,
                    self.driver.ReadOnlyError,
                ),
            )
        )

    def asked_for(self, error: Any) -> Optional[Tuple[str, int]]:
        """Return the server that has a slot half moved, where the error names it."""
        if not isinstance(error, self.driver.AskError):
            return None
        return str(error.host), int(error.port)

    def translated(
        self, error: BaseException, *, writes: bool, doubt: bool = False
    ) -> BaseException:
        """Return the library's error for one of redis-py; the caller keeps the cause.

        What is none of redis-py's is returned as it is.

        Args:
            writes: whether what failed was to change anything.
            doubt: whether it may have done so, as an answer to it was lost.
        """
        if isinstance(error, ContextStoreError):
            return error
        if isinstance(error, NotConfirmedError):
            return UnavailableError(
                f"{self._location} stored a change, but {error}; repeating the call "
                f"with the same ids is safe",
                location=self._location,
            )
        if not isinstance(error, (self.driver.RedisError, OSError)):
            return error
        if _is_untrusted(error):
            return ConfigurationError(
                f"{self._location} shows a certificate that nobody vouches for; see "
                f"the cause, and ssl_ca_certs after the question mark of the address"
            )
        if self._is_refusal(error):
            return ConfigurationError(
                f"{self._location} refused the user or the password, or one of the "
                f"commands to this user ({type(error).__name__})"
            )
        if _says(error, "WRONGTYPE"):
            return damaged(self._location, "a key is of another type")
        if _says(error, "BUSY "):
            return BusyError(
                f"{self._location} is busy with another script; try again",
                location=self._location,
            )
        return UnavailableError(
            f"{self._location} {self._hindrance(error)}; {_outcome(writes, doubt)}",
            location=self._location,
        )

    def _hindrance(self, error: BaseException) -> str:
        """Say why a server did not do its work."""
        fullness = self._fullness(error)
        if fullness:
            return f"is full: {fullness}, so make room there"
        if isinstance(error, self.driver.ResponseError) and not self.may_pass(error):
            return f"refused a command ({_first_word(error)})"
        return f"could not be reached in time ({type(error).__name__})"

    def _fullness(self, error: BaseException) -> str:
        """Say of what a server has too little; nothing where it has enough."""
        if isinstance(error, self.driver.OutOfMemoryError):
            return "it uses all its memory (maxmemory)"
        if _says(error, "MISCONF"):
            return "it cannot write its files (MISCONF), as on a full disk"
        return ""

    def _is_refusal(self, error: BaseException) -> bool:
        refusals = (
            self.driver.AuthenticationError,
            self.driver.AuthorizationError,
            self.driver.NoPermissionError,
        )
        return isinstance(error, refusals) or _says(error, "NOAUTH", "WRONGPASS")


def _outcome(writes: bool, doubt: bool) -> str:
    if not writes:
        return "see the cause, and repeat the call"
    if doubt:
        return (
            "a change may have been stored or not: repeating the call with the same "
            "ids is safe"
        )
    return "nothing was stored: see the cause, and repeat the call"


def _is_untrusted(error: BaseException) -> bool:
    """Tell whether the certificate of a server was refused, beneath what redis-py says.

    By its name: a Python may have been built without the module ``ssl``.
    """
    beneath: Optional[BaseException] = error
    while beneath is not None:
        if type(beneath).__name__ == "SSLCertVerificationError":
            return True
        beneath = beneath.__cause__ or beneath.__context__
    return False


def _says(error: BaseException, *beginnings: str) -> bool:
    return str(error).upper().startswith(beginnings)


def _first_word(error: BaseException) -> str:
    """Return the code of an answer; the rest could quote what was sent."""
    return f"{type(error).__name__}: {str(error).partition(' ')[0][:40]}"
