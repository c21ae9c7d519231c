"""What the simulated shop sells, to whom, and how its parcels travel."""

from __future__ import annotations

from typing import Any, NamedTuple


class Goods(NamedTuple):
    sku: str
    name: str
    category: str
    price_minor: int  # tax included
    cost_minor: int


class Buyer(NamedTuple):
    customer_id: str
    contact: dict[str, str]
    address: dict[str, str]
    language: str


GOODS: dict[str, tuple[str, tuple[Goods, ...]]] = {
    "zh": (
        "CNY",
        (
            Goods("TEA-LJ-250", "西湖龙井 250克", "茶叶", 26_800, 14_500),
            Goods("TEA-PE-357", "云南普洱熟茶饼 357克", "茶叶", 15_900, 8_200),
            Goods("TEA-TGY-500", "安溪铁观音 500克", "茶叶", 19_900, 10_400),
            Goods("CUP-JDZ-6", "景德镇青花茶杯 六只装", "茶具", 12_800, 6_100),
            Goods("POT-YX-1", "宜兴紫砂壶 200毫升", "茶具", 39_800, 21_000),
            Goods("SILK-SC-1", "杭州真丝丝巾", "服饰", 22_900, 9_900),
            Goods("RICE-WC-5", "五常大米 5公斤", "食品", 8_990, 5_700),
            Goods("HONEY-1", "秦岭土蜂蜜 1公斤", "食品", 13_800, 7_300),
        ),
    ),
    "en": (
        "USD",
        (
            Goods("LAMP-OAK", "Oak desk lamp", "home", 8_900, 4_100),
            Goods("MUG-BLUE", "Stoneware mug, blue", "kitchen", 1_850, 620),
            Goods("KNIFE-CHEF", "Chef's knife, 20 cm", "kitchen", 6_400, 2_900),
            Goods("THROW-WOOL", "Wool throw, grey", "home", 7_250, 3_300),
            Goods("NOTE-A5", "Notebook A5, dotted", "office", 1_290, 380),
            Goods("PEN-BRASS", "Brass ballpoint pen", "office", 3_400, 1_200),
            Goods("BAG-TOTE", "Canvas tote bag", "fashion", 2_450, 880),
            Goods("COFFEE-1", "Coffee beans, 1 kg", "food", 2_990, 1_650),
        ),
    ),
}
NAMES = {
    "zh": ("王小明", "李娜", "张伟", "刘芳", "陈静", "杨洋", "赵磊", "黄丽", "周杰", "吴敏"),
    "en": ("Ada Brown", "Tom Hughes", "Maria Rossi", "Jonas Weber", "Chloé Martin", "Emily Clark"),
}
PLACES: dict[str, tuple[dict[str, str], ...]] = {
    "zh": (
        {"city": "杭州", "region": "浙江", "postal_code": "310000", "country": "CN"},
        {"city": "上海", "region": "上海", "postal_code": "200000", "country": "CN"},
        {"city": "成都", "region": "四川", "postal_code": "610000", "country": "CN"},
        {"city": "广州", "region": "广东", "postal_code": "510000", "country": "CN"},
        {"city": "西安", "region": "陕西", "postal_code": "710000", "country": "CN"},
    ),
    "en": (
        {"city": "Portland", "region": "OR", "postal_code": "97201", "country": "US"},
        {"city": "Leeds", "region": "", "postal_code": "LS1 4AP", "country": "GB"},
        {"city": "Toronto", "region": "ON", "postal_code": "M5H 2N2", "country": "CA"},
        {"city": "Berlin", "region": "", "postal_code": "10115", "country": "DE"},
    ),
}
STREETS = {
    "zh": ("中山路", "人民路", "解放街", "建国路", "文化巷"),
    "en": ("Oak Street", "Mill Lane", "Station Road", "Harbour View"),
}
METHODS = {
    "zh": ("alipay", "wechat_pay", "alipay", "wechat_pay", "bank_transfer", "cash_on_delivery"),
    "en": ("credit_card", "credit_card", "credit_card", "bank_transfer"),
}
CHANNELS = ("web", "web", "web", "phone", "store")
CARRIERS = {"zh": ("sf-express", "yto", "zto"), "en": ("ups", "dhl", "fedex")}
BUYERS_PER_LANGUAGE = 2_000  # fewer would order the same again and again within a day

# Milestones of a journey; the second element is the place, None for where the parcel goes.
Journey = tuple[tuple[str, str | None], ...]
HUB = {"zh": "杭州转运中心", "en": "Regional hub"}
JOURNEYS: tuple[Journey, ...] = (
    (("picked_up", "hub"), ("in_transit", "hub"), ("out_for_delivery", None), ("delivered", None)),
    (
        ("label_created", "hub"),
        ("picked_up", "hub"),
        ("in_transit", "hub"),
        ("customs", None),
        ("in_transit", None),
        ("out_for_delivery", None),
        ("delivered", None),
    ),
    (
        ("picked_up", "hub"),
        ("in_transit", "hub"),
        ("out_for_delivery", None),
        ("attempt_failed", None),
        ("out_for_delivery", None),
        ("delivered", None),
    ),
    (
        ("picked_up", "hub"),
        ("in_transit", "hub"),
        ("available_for_pickup", None),
        ("delivered", None),
    ),
    (("picked_up", "hub"), ("exception", "hub"), ("returning", "hub"), ("returned", "hub")),
)
JOURNEY_WEIGHTS = (70, 10, 10, 7, 3)


def buyer(language: str, number: int) -> Buyer:
    """Always the same person for the same number."""
    names, places, streets = NAMES[language], PLACES[language], STREETS[language]
    place, street = places[number % len(places)], streets[number % len(streets)]
    house = 1 + number * 7 % 180
    line1 = f"{street}{house}号" if language == "zh" else f"{house} {street}"
    address = {"line1": line1, **{key: value for key, value in place.items() if value}}
    contact = {
        "name": names[number % len(names)],
        "email": f"{language}{number}@example.com",
        "phone": f"1380000{number:04}" if language == "zh" else f"+1 555 010 {number:04}",
    }
    return Buyer(f"{language}-{number:04}", contact, address, language)


def all_goods() -> list[Goods]:
    return [goods for _, shelf in GOODS.values() for goods in shelf]


def line(goods: Goods, quantity: int, tax_rate_bp: int) -> dict[str, Any]:
    return {
        "sku": goods.sku,
        "name": goods.name,
        "category": goods.category,
        "quantity": quantity,
        "unit_price_minor": goods.price_minor,
        "unit_cost_minor": goods.cost_minor,
        "tax_rate_bp": tax_rate_bp,
    }
