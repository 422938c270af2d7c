"""The DynamoDB store: one table, strongly consistent reads, conditional writes, no transactions.

======================================  =========================  ================================
pk                                      sk                         holds
======================================  =========================  ================================
``CONFIGURATION``                       ``MAIN``                   document: the main switch, and
                                                                   the table's format
``CONFIGURATION``                       ``ISSUER#url``             document
``CONFIGURATION``                       ``REGISTRY#name``          document
``CONFIGURATION``                       ``TIMESTAMPING``           document
``CONFIGURATION``                       ``IDENTITYTOKENS``         document, refused_before
``APPLIED``                             ``PUBLISHER#sort_key``     document, projects_hash, pages
``APPLIED``                             ``RUN#token#number``       by, began_at, seen_at, keys
``PUBLISHER#identity_key``              ``registry#rules_hash``    document, publisher_id, pins
``PUBLISHER#identity_key``              ``…rules_hash#number``     publisher_id, projects
``TRUST#registry#project``              ``TRUST``                  publisher_ids
``TRUST#registry#``                     ``TRUST``                  publisher_ids
``TRUST#``                              ``TRUST``                  nothing: it stops the ``apply``
                                                                   of version 0.1.0
``PROJECT#registry#project``            ``FILE#filename``          document, batch, reserved_by,
                                                                   attestation_state, ttl
``PROJECT#registry#project``            ``RELEASE#key``            document
``REOPENED#registry#project``           ``REOPENED#key``           until, ttl
``YANKED#registry#project``             ``YANKED#key``             reason
``YANKED#registry#project``             ``DELETED#filename``       reason, deleted_by, deleted_at
``STATUS#registry#project``             ``STATUS``                 status, reason
``LISTING#registry#project``            ``MARKS``                  marks, floor, settled,
                                                                   has_status
``LISTING#registry#project``            ``CONTENT``                revision, content, object_key
``REGISTRY#registry``                   ``PROJECT#project``        nothing more
``TOKEN#lookup_id``                     ``TOKEN``                  document, token_hash, registries,
                                                                   burned_at, made_for, listed, ttl
``USE#lookup_id``                       ``USE``                    used_for, ttl
``KEYSET#issuer``                       ``KEYSET``                 document
``KEYSET#issuer``                       ``REFRESH``                claimed_at, claimed_by
``SESSION#token``                       ``SESSION``                document, revision, status,
                                                                   expires_at, listed, ttl
``LIVE#registry#project``               ``VERSION#key``            session_token, ttl
``RECEIPTKEYS``                         ``KEY#key_id``             document
``OPERATOR``                            ``time#suffix``            document, format
``OPERATORSTOKENS``                     ``TOKEN#lookup_id``        registry, ttl
======================================  =========================  ================================

The index ``Listed`` has the keys of tokens and of sessions that are not over, by ``listed`` and
``ttl``. Only an operator's commands read it (``listed_rows``), and ``APPLIED`` (``catalogue``).

IAM allows each function certain partitions, and certain attributes where partitions are not fine
enough. What a function must not write is therefore in a separate partition: whom a project trusts,
what a single-use token was used for, which releases the operator has reopened or yanked, which
files the operator has deleted, which status a project has.

A client that retries may find the result of its own first attempt. So every write either has the
same effect when it is repeated, or recognises what it wrote.
"""

from pytp_broker.aws.dynamodb.configuration_rows import ConfigurationRows
from pytp_broker.aws.dynamodb.key_set_rows import KeySetRows
from pytp_broker.aws.dynamodb.listings import Listings
from pytp_broker.aws.dynamodb.publisher_rows import PublisherRows
from pytp_broker.aws.dynamodb.receipt_key_rows import ReceiptKeyRows
from pytp_broker.aws.dynamodb.session_rows import SessionRows
from pytp_broker.aws.dynamodb.token_rows import TokenRows
from pytp_broker.storage.sessions import Session


class RuntimeDynamoStore(
    ConfigurationRows, PublisherRows, TokenRows, KeySetRows, Listings, SessionRows, ReceiptKeyRows
):
    """The RuntimeStore of the functions: one table, through the low-level client that is passed in.

    It lacks what only an operator may do, which ``operating.DynamoStore`` adds.
    """

    def publish_session(self, session: Session) -> bool:
        """Make all files visible that the revision before this one has reserved."""
        with self._announced((session.registry, session.project), session.filenames):
            return super().publish_session(session)
