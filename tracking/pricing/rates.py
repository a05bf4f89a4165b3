"""The price book in memory: which model a name means, and which rate was in force. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from tracking.money import EXACT, NANOUSD_PER_USD
from tracking.pricing.match import Matcher, compile_rule, spread_compact_date
from tracking.pricing.meters import METERS
from tracking.pricing.types import ANY_MODEL, ModelRule, RateRow

#: How many names a book remembers. Names come from callers, so there may be any number of wrong ones.
MAX_CACHED_NAMES = 20_000


class Rate:
    """A rate row, ready for arithmetic: `num / den` is its exact price of one unit in nano-USD."""

    __slots__ = ("amount", "den", "id", "num", "per", "row", "tier", "unit_usd", "valid_from", "valid_to")

    def __init__(self, row: RateRow):
        self.row = row
        self.id, self.amount, self.per, self.tier = row.id, row.amount, row.per, row.tier
        self.valid_from = row.valid_from
        self.valid_to = row.valid_to
        if row.amount is None:
            self.num, self.den, self.unit_usd = 0, 1, None
            return
        unit = Fraction(row.amount) * NANOUSD_PER_USD / row.per
        self.num, self.den = unit.numerator, unit.denominator
        # Finite only if the divisor has no other prime factors than 2 and 5; else lines divide, to 60 digits.
        finite = NANOUSD_PER_USD**9 % self.den == 0
        self.unit_usd = EXACT.divide(row.amount, Decimal(row.per)) if finite else None

    def valid(self, at: datetime) -> bool:
        return (self.valid_from is None or self.valid_from <= at) and (self.valid_to is None or at < self.valid_to)

    def amount_of(self, quantity: int | Decimal) -> Decimal:
        """USD for a quantity, unrounded."""
        if self.unit_usd is not None:
            return EXACT.multiply(quantity, self.unit_usd)
        return EXACT.divide(EXACT.multiply(quantity, self.amount), self.per)


#: For one meter: groups of rates to try in order, each with the context size above which it applies.
Chain = tuple[tuple[int, tuple[Rate, ...]], ...]


def _chain(layers: Sequence[Sequence[RateRow]]) -> Chain:
    groups: list[tuple[int, tuple[Rate, ...]]] = []
    for layer in layers:
        for threshold in sorted({row.above_context_tokens for row in layer}, reverse=True):
            # Rows stand in the order they were recorded: the last one wins.
            rates = tuple(Rate(row) for row in reversed(layer) if row.above_context_tokens == threshold)
            groups.append((threshold, rates))
    return tuple(groups)


def find(chain: Chain, context_tokens: int, at: datetime) -> Rate | None:
    """The rate in force, or None. A withdrawn price does not hide those of the groups below it."""
    for threshold, rates in chain:
        if threshold and context_tokens <= threshold:
            continue
        for rate in rates:
            if rate.valid(at):
                if rate.row.amount is None:
                    break
                return rate
    return None


class ModelRates:
    """The rates of one model, under the name that one call gave it."""

    __slots__ = ("_fixed", "_chains", "_layers", "meters", "priced_as", "regions", "texts", "tiers")

    def __init__(self, layers: Sequence[Sequence[RateRow]], *, priced_as: str, regions: frozenset[str]):
        self._layers = layers  # own rates of the exact name, own rates of the model, the catalogue's, the provider's
        self._chains: dict[tuple[str, str, str, str], tuple[Chain, ...]] = {}
        self._fixed: dict[tuple[str, str, str, str], Rate] = {}  # the only rate there is, and valid for ever
        self.priced_as = priced_as
        #: what lines of receipts say around their quantity and amount, see tracking.pricing.quick
        self.texts: dict[tuple[str, Rate], tuple[str, str, str]] = {}
        rows = [row for layer in layers for row in layer]
        self.tiers = frozenset(row.tier for row in rows if row.model != ANY_MODEL) or frozenset({"standard"})
        #: what the model itself has prices for, at some time
        self.meters = frozenset(row.meter for row in rows if row.model != ANY_MODEL and row.amount is not None)
        #: regions with prices of their own; a region that is known but has none here does not change the price
        own_regions = frozenset(row.region for row in rows if row.region)
        self.regions = {region: region if region in own_regions else "" for region in regions | own_regions}

    def _prepare(self, key: tuple[str, str, str, str]) -> tuple[Chain, ...]:
        """Where to look for the price of a meter, first choice first."""
        chains = self._chains[key] = tuple(self._lookups(*key))
        if chains and len(chains[0][0][1]) == 1:
            threshold, (rate,) = chains[0][0]
            if not threshold and rate.valid_from is rate.valid_to is None and rate.row.amount is not None:
                self._fixed[key] = rate
        return chains

    def _lookups(self, meter: str, variant: str, tier: str, region: str) -> Iterable[Chain]:
        known = METERS.get(meter)
        places = [(tier, region)]
        if known is None or not known.is_tokens:
            places += [(tier, ""), ("standard", "")]
        while meter:
            for place_tier, place_region in dict.fromkeys(places):
                layers = [
                    [
                        row
                        for row in layer
                        if (row.meter, row.variant, row.tier, row.region) == (meter, variant, place_tier, place_region)
                    ]
                    for layer in self._layers
                ]
                chain = _chain(layers)
                if chain:
                    yield chain
            meter = METERS[meter].falls_under if meter in METERS else ""

    def find(self, meter: str, variant: str, tier: str, region: str, context_tokens: int, at: datetime) -> Rate | None:
        """The rate in force for a meter, or for the meter it falls under. By position: it runs for every line."""
        key = (meter, variant, tier, region)
        fixed = self._fixed.get(key)
        if fixed is not None:
            return fixed
        for chain in self._chains.get(key) or self._prepare(key):
            rate = find(chain, context_tokens, at)
            if rate is not None:
                return rate
        return None


class _Section:
    """What the book knows of one provider."""

    __slots__ = ("by_model", "fallbacks", "matchers", "own", "regions", "thresholds")

    def __init__(self, rows: Iterable[RateRow], rules: Iterable[ModelRule]):
        self.by_model: dict[str, list[RateRow]] = {}
        self.own: dict[str, list[RateRow]] = {}
        regions, thresholds = set(), set()
        for row in rows:
            thresholds.add(row.above_context_tokens)
            place = self.own if row.own else self.by_model
            place.setdefault(row.model.lower() if row.own else row.model, []).append(row)
            if row.region:
                regions.add(row.region)
        self.regions = frozenset(regions)
        self.thresholds = frozenset(thresholds - {0})
        self.matchers: list[tuple[Matcher, ModelRule]] = []
        self.fallbacks: tuple[str, ...] = ()
        for rule in rules:
            if rule.model == ANY_MODEL:
                self.fallbacks = tuple(rule.match.get("providers", ()))
            else:
                self.matchers.append((compile_rule(rule.match), rule))

    def match(self, name: str) -> ModelRule | None:
        for matches, rule in self.matchers:
            if matches(name):
                return rule
        return None


Loader = Callable[[str], tuple[Iterable[RateRow], Iterable[ModelRule]]]


class RateBook:
    """Every rate and match rule, loaded provider by provider when first asked for.

    `load(provider)` gives the provider's rate rows in the order they were recorded, and its rules in the order they
    are tried. Safe to share between threads: the worst of a race is work done twice.
    """

    def __init__(self, load: Loader):
        self._load = load
        self._sections: dict[str, _Section] = {}
        self._resolved: dict[tuple[str, str], ModelRule | None] = {}
        self._models: dict[tuple[str, str], ModelRates | None] = {}

    @classmethod
    def of(cls, rows: Iterable[RateRow], rules: Iterable[ModelRule]) -> RateBook:
        """A book of these rows and rules."""
        rows, rules = list(rows), list(rules)
        return cls(lambda p: ([r for r in rows if r.provider == p], [r for r in rules if r.provider == p]))

    def _section(self, provider: str) -> _Section:
        section = self._sections.get(provider)
        if section is None:
            section = self._sections[provider] = _Section(*self._load(provider))
        return section

    def resolve(self, provider: str, model_name: str) -> ModelRule | None:
        """The catalogue's model that a name means, or None. A fallback provider's model keeps its own provider."""
        key = (provider, model_name)
        if key not in self._resolved:
            if len(self._resolved) >= MAX_CACHED_NAMES:
                self._resolved.clear()
            self._resolved[key] = self._resolve(provider, model_name.lower())
        return self._resolved[key]

    def _resolve(self, provider: str, name: str) -> ModelRule | None:
        section = self._section(provider)
        for candidate in dict.fromkeys((name, spread_compact_date(name))):
            for place in (section, *(self._section(other) for other in section.fallbacks)):
                rule = place.match(candidate)
                if rule is not None:
                    return rule
        return None

    def rules(self, provider: str) -> list[ModelRule]:
        """The models that the catalogue lists of a provider, in the order their rules are tried."""
        return [rule for _, rule in self._section(provider).matchers]

    def thresholds(self, provider: str) -> frozenset[int]:
        """The sizes of context above which a provider's models have other prices."""
        return self._section(provider).thresholds

    def model(self, provider: str, model_name: str) -> ModelRates | None:
        """The rates for a name, or None when the book knows neither the name nor rates of its own for it.

        `ANY_MODEL` gives those that hold whichever model it is.
        """
        key = (provider, model_name)
        found = self._models.get(key)
        if found is None and key not in self._models:
            if len(self._models) >= MAX_CACHED_NAMES:
                self._models.clear()
            found = self._models[key] = self._compile(provider, model_name)
        return found

    def _compile(self, provider: str, model_name: str) -> ModelRates | None:
        section = self._section(provider)
        rule = self.resolve(provider, model_name)
        layers = [section.own.get(model_name.lower(), [])]
        if rule is not None:
            home = section if rule.provider == provider else self._section(rule.provider)
            if rule.model.lower() != model_name.lower():
                layers.append(section.own.get(rule.model.lower(), []))
            listed = home.by_model.get(rule.model, [])
            if home is not section:
                # Another provider's model costs the same here; its tiers and regions do not apply.
                listed = [row for row in listed if row.tier == "standard" and not row.region]
            layers.append(listed)
        elif not layers[0] and model_name != ANY_MODEL:
            return None
        layers.append(section.by_model.get(ANY_MODEL, []))
        return ModelRates(layers, priced_as=rule.model if rule else model_name, regions=section.regions)
