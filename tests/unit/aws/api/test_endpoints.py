"""Where a service is."""

import pytest

from pytp_broker.aws.api.endpoints import Endpoint, find_endpoint


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("us-east-1", "dynamodb.us-east-1.amazonaws.com"),
        ("us-gov-west-1", "dynamodb.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "dynamodb.cn-north-1.amazonaws.com.cn"),
        ("us-iso-east-1", "dynamodb.us-iso-east-1.c2s.ic.gov"),
        ("us-isob-east-1", "dynamodb.us-isob-east-1.sc2s.sgov.gov"),
        ("us-isof-south-1", "dynamodb.us-isof-south-1.csp.hci.ic.gov"),
        ("eu-isoe-west-1", "dynamodb.eu-isoe-west-1.cloud.adc-e.uk"),
        ("eusc-de-east-1", "dynamodb.eusc-de-east-1.amazonaws.eu"),
    ],
)
def test_a_service_is_in_its_region(region: str, host: str) -> None:
    endpoint = find_endpoint("dynamodb", {"AWS_REGION": region, "AWS_DEFAULT_REGION": "x-y"})

    assert endpoint == Endpoint("dynamodb", region, host)
    assert endpoint.url == f"https://{host}"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:4566", "http://127.0.0.1:4566"),
        ("https://localhost:8443/", "https://localhost:8443"),
        ("http://[::1]:80", "http://[::1]"),
        ("https://vpce.example.com", "https://vpce.example.com"),
    ],
)
def test_a_url_takes_the_place_of_the_regions_own(url: str, expected: str) -> None:
    environ = {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_ENDPOINT_URL": "http://other"}

    endpoint = find_endpoint("s3", environ | {"AWS_ENDPOINT_URL_S3": url})

    assert endpoint.url == expected
    assert endpoint.region == "eu-west-1"
    assert find_endpoint("kms", environ | {"AWS_ENDPOINT_URL_S3": url}).url == "http://other"


@pytest.mark.parametrize("region", ["", "us east", "x.evil.example/", "US-EAST-1"])
def test_what_is_not_a_region_names_no_host(region: str) -> None:
    with pytest.raises(ValueError, match="AWS_REGION"):
        find_endpoint("kms", {"AWS_REGION": region})


@pytest.mark.parametrize("url", ["localhost:80", "ftp://localhost", "http://", "http://a/path"])
def test_a_url_must_be_that_of_a_host(url: str) -> None:
    with pytest.raises(ValueError, match="AWS_ENDPOINT_URL is not the URL of a host"):
        find_endpoint("kms", {"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": url})
