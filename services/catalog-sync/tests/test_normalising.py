"""From what a source lists to models and dated prices."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from catalog_sync.domain.listing import ListedModel, ListedPrice, Quote
from catalog_sync.domain.models import Facts
from catalog_sync.domain.normalise import normalise
from catalog_sync.domain.prices import ALWAYS, content_of, dated, effective, price_from
from common.pricing import Price

FIRST_OF_MAY = datetime(2026, 5, 1, tzinfo=UTC)


def flat(input_rate: str, output_rate: str) -> dict[str, Quote]:
    return {"input_tokens": Quote(Decimal(input_rate)), "output_tokens": Quote(Decimal(output_rate))}


def prices_of(name: str, *schedule: ListedPrice) -> tuple[Price, ...]:
    [model] = normalise([ListedModel(Facts("openai", name, name), schedule)])
    return model.prices


def test_the_first_known_price_holds_from_1970_on() -> None:
    unknown = ListedPrice(None, ({},))
    known = ListedPrice(FIRST_OF_MAY, (flat("1", "2"),))
    [price] = prices_of("m", unknown, known)
    assert price.starts_at == ALWAYS
    assert price.rates == {"input_tokens": Decimal(1), "output_tokens": Decimal(2)}


def test_a_later_price_holds_from_its_own_date_on() -> None:
    first, second = prices_of("m", ListedPrice(None, (flat("1", "2"),)), ListedPrice(FIRST_OF_MAY, (flat("3", "4"),)))
    assert (first.starts_at, second.starts_at) == (ALWAYS, FIRST_OF_MAY)
    assert first.version != second.version


def test_a_price_that_says_what_the_one_before_says_is_no_row() -> None:
    same = flat("1", "2")
    assert len(prices_of("m", ListedPrice(None, (same,)), ListedPrice(FIRST_OF_MAY, (same,)))) == 1


def test_a_free_model_costs_an_explicit_zero() -> None:
    [price] = prices_of("maker/m:free", ListedPrice(None, ({},)))
    assert price.rates == {"input_tokens": Decimal(0), "output_tokens": Decimal(0)}


def test_a_model_without_a_price_has_no_row() -> None:
    assert prices_of("m", ListedPrice(None, ({},))) == ()


def test_the_dearest_hour_is_the_price_of_the_day() -> None:
    [price] = prices_of("m", ListedPrice(None, (flat("1", "5"), flat("2", "4"))))
    assert price.rates == {"input_tokens": Decimal(2), "output_tokens": Decimal(5)}


def test_a_threshold_changes_the_rates_of_the_call_and_of_its_service_tiers() -> None:
    stepped = {"input_tokens": Quote(Decimal(2), ((1000, Decimal(4)),)), "output_tokens": Quote(Decimal(8))}
    flex = {"input_tokens": Quote(Decimal(1), ((1000, Decimal(2)),)), "output_tokens": Quote(Decimal(4))}
    [price] = prices_of("m", ListedPrice(None, (stepped,), {"flex": (flex,), "default": (stepped,)}))
    assert price.rates["input_tokens"] == 2
    assert price.variants == {"flex": {"input_tokens": Decimal(1), "output_tokens": Decimal(4)}}
    [tier] = price.tiers
    assert tier.above_input_tokens == 1000
    assert tier.rates == {"input_tokens": Decimal(4), "output_tokens": Decimal(8)}
    assert tier.variants == {"flex": {"input_tokens": Decimal(2), "output_tokens": Decimal(4)}}


def test_a_name_belongs_to_one_model_of_a_provider() -> None:
    models = normalise(
        [
            ListedModel(Facts("openai", "a", "a", names=("a", "a-1", "b"))),
            ListedModel(Facts("openai", "b", "b", names=("a-1", "b-1"))),
            ListedModel(Facts("groq", "b", "b", names=("a-1",))),
            ListedModel(Facts("openai", "a", "again", names=("a-2",))),
        ]
    )
    assert [(m.facts.provider_type, m.facts.name, m.facts.names) for m in models] == [
        ("openai", "a", ("a-1",)),
        ("openai", "b", ("b-1",)),
        ("groq", "b", ("a-1",)),
    ]


def test_an_id_holds_no_slash() -> None:
    assert "/" not in Facts("openrouter", "openai/gpt-4", "GPT 4").model_id


def test_a_price_reads_back_as_it_was_written_down() -> None:
    stepped = {"input_tokens": Quote(Decimal("2.50"), ((1000, Decimal("1E+1")),))}
    [price] = prices_of("m", ListedPrice(None, (stepped,), {"flex": (flat("0.5", "1"),)}))
    assert repr(price_from(price.version, price.starts_at, **content_of(price))) == repr(price)
    assert content_of(price)["rates"] == {"input_tokens": "2.5"}
    assert content_of(price)["tiers"][0]["rates"] == {"input_tokens": "10"}


def test_a_version_is_computed_from_model_start_and_content() -> None:
    rates = {"input_tokens": Decimal("1.0")}
    assert dated("m", ALWAYS, rates).version == dated("m", ALWAYS, {"input_tokens": Decimal(1)}).version
    others = [
        dated("n", ALWAYS, rates),
        dated("m", FIRST_OF_MAY, rates),
        dated("m", ALWAYS, {"input_tokens": Decimal(2)}),
    ]
    assert dated("m", ALWAYS, rates).version not in {other.version for other in others}


def test_of_two_rows_with_one_start_the_later_added_holds() -> None:
    first, second = dated("m", ALWAYS, {"input_tokens": Decimal(1)}), dated("m", ALWAYS, {"input_tokens": Decimal(2)})
    assert effective([first, second]) == (second,)
