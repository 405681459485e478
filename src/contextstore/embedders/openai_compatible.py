"""Embed by any server that speaks OpenAI's protocol for embeddings."""

from __future__ import annotations

import json
import os
from http.client import HTTPException, HTTPMessage
from typing import IO, Any, Dict, List, Optional
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from contextstore.errors import ConfigurationError, EmbeddingError

__all__ = ["OpenAICompatibleEmbedder"]


class OpenAICompatibleEmbedder:
    """Embed by ``POST {base_url}/embeddings``, as OpenAI and many others offer it.

    It needs no package. Every call waits for the answer of the server; the library
    calls it in a thread where an event loop runs.

    Args:
        model: the name of the model, as the server knows it.
        base_url: the address up to and without ``/embeddings``.
        api_key: sent as a bearer token; by default what ``OPENAI_API_KEY`` holds, and
            nothing where that is not set.
        dimension: asks for vectors of so many components, of models that can shorten
            theirs.
        batch_size: how many texts the library sends in one call.
        query_prefix: put before each query, as some models ask for.
        document_prefix: put before each text that is not a query.
        timeout: seconds to wait for the server.

    Raises:
        ConfigurationError: ``base_url`` is no http or https address.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str = "https://api.openai.com/v1",
        api_key: Optional[str] = None,
        dimension: Optional[int] = None,
        batch_size: int = 256,
        query_prefix: str = "",
        document_prefix: str = "",
        timeout: float = 60.0,
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise ConfigurationError(
                f"base_url is {base_url!r}; pass an http:// or https:// address"
            )
        self.name = model
        self.dimension = dimension
        self.batch_size = batch_size
        self._url = base_url.rstrip("/") + "/embeddings"
        self._api_key = api_key
        self._query_prefix = query_prefix
        self._document_prefix = document_prefix
        self._timeout = timeout

    def __call__(self, texts: List[str]) -> List[List[float]]:
        """Return one vector a text.

        Raises:
            EmbeddingError: the server could not be reached, refused, or gave something
                else than one vector a text.
        """
        return self._embed([self._document_prefix + text for text in texts])

    def embed_queries(self, texts: List[str]) -> List[List[float]]:
        """Return one vector a query.

        Raises:
            EmbeddingError: as for texts.
        """
        return self._embed([self._query_prefix + text for text in texts])

    def _embed(self, texts: List[str]) -> List[List[float]]:
        body: Dict[str, Any] = {
            "model": self.name,
            "input": texts,
            "encoding_format": "float",
        }
        if self.dimension is not None:
            body["dimensions"] = self.dimension
        return _vectors_of(self._post(body), len(texts), self._url)

    def _post(self, body: Dict[str, Any]) -> Any:
        request = Request(  # noqa: S310 - __init__ takes http and https only
            self._url, json.dumps(body).encode(), self._headers(), method="POST"
        )
        try:
            with _opener.open(request, timeout=self._timeout) as answer:
                return json.load(answer)
        except HTTPError as error:
            with error:
                raise EmbeddingError(
                    f"{self._url} answered {error.code} {error.reason}"
                ) from None
        except (URLError, OSError, HTTPException) as error:
            raise EmbeddingError(
                f"{self._url} could not be reached: {type(error).__name__}"
            ) from error
        except ValueError as error:
            raise EmbeddingError(f"{self._url} answered no JSON") from error

    def _headers(self) -> Dict[str, str]:
        headers = {"Content-Type": "application/json"}
        api_key = self._api_key or os.environ.get("OPENAI_API_KEY")
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        return headers


class _NoRedirect(HTTPRedirectHandler):
    """Follow no redirect: it would carry the key to another server."""

    def redirect_request(
        self,
        req: Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        return None


_opener = build_opener(_NoRedirect)


def _vectors_of(answer: Any, expected: int, url: str) -> List[List[float]]:
    """Return the vectors of an answer in the order of their texts."""
    try:
        vectors = {item["index"]: item["embedding"] for item in answer["data"]}
        return [vectors[index] for index in range(expected)]
    except (KeyError, TypeError) as error:
        raise EmbeddingError(
            f"{url} did not answer with one embedding for each of {expected} texts"
        ) from error
