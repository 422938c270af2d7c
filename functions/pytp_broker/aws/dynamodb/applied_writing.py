"""Write the rows that ``apply`` changes, each so that no other ``apply`` is undone."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from pytp_broker.aws.dynamodb.configuration_rows import CONFIGURATION
from pytp_broker.aws.dynamodb.operators_tokens import operators_token_key
from pytp_broker.aws.dynamodb.publisher_rows import (
    Page,
    PageKey,
    document_of,
    publisher_key,
    trust_key,
)
from pytp_broker.aws.dynamodb.table import Table, attributes, dump
from pytp_broker.aws.dynamodb.token_rows import token_key
from pytp_broker.storage.protocols import Place
from pytp_broker.trust.publishers import TrustedPublisher


class AppliedWriting(Table):
    """Writes of the configuration, of publishers, and of the publishers that projects trust.

    Those of publishers raise ConditionFailedError if another ``apply`` was faster.
    """

    def _put_part(self, sk: str, part: Mapping[str, Any]) -> None:
        item = attributes(pk=CONFIGURATION, sk=sk, document=dump(part))
        self._call(self._client.put_item, Item=item)

    def _remove_part(self, sk: str) -> None:
        self._call(self._client.delete_item, Key=attributes(pk=CONFIGURATION, sk=sk))

    def _remove_token(self, lookup_id: str) -> None:
        self._call(self._client.delete_item, Key=token_key(lookup_id))
        self._call(self._client.delete_item, Key=operators_token_key(lookup_id))

    def _put_page(self, key: PageKey, page: Page) -> None:
        item = attributes(**key._asdict(), **page._asdict())
        self._call(self._client.put_item, Item=item)

    def _remove_page(self, key: PageKey) -> None:
        self._call(self._client.delete_item, Key=attributes(**key._asdict()))

    def _add_publisher(self, publisher: TrustedPublisher) -> None:
        self._call(
            self._client.put_item,
            Item=attributes(
                **publisher_key(publisher),
                document=document_of(publisher),
                publisher_id=publisher.publisher_id,
                pins=publisher.pins,
            ),
            ConditionExpression="attribute_not_exists(document)",
        )

    def _change_publisher(self, publisher: TrustedPublisher) -> None:
        # An update, because a put would undo a pin that was made meanwhile.
        self._call(
            self._client.update_item,
            Key=attributes(**publisher_key(publisher)),
            UpdateExpression="SET document = :document",
            ConditionExpression="publisher_id = :id",
            ExpressionAttributeValues=attributes(
                **{":document": document_of(publisher), ":id": publisher.publisher_id}
            ),
        )

    def _remove_publisher(self, publisher: TrustedPublisher) -> None:
        self._call(
            self._client.delete_item,
            Key=attributes(**publisher_key(publisher)),
            ConditionExpression="publisher_id = :id",
            ExpressionAttributeValues=attributes(**{":id": publisher.publisher_id}),
        )

    def _trust(self, place: Place, publisher_ids: AbstractSet[str]) -> None:
        self._update_trust("ADD publisher_ids :ids", place, publisher_ids)

    def _distrust(self, place: Place, publisher_ids: AbstractSet[str]) -> None:
        self._update_trust("DELETE publisher_ids :ids", place, publisher_ids)

    def _update_trust(self, expression: str, place: Place, publisher_ids: AbstractSet[str]) -> None:
        self._call(
            self._client.update_item,
            Key=trust_key(*place),
            UpdateExpression=expression,
            ExpressionAttributeValues=attributes(**{":ids": publisher_ids}),
        )
