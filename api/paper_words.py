"""The words of papers in Chinese and English, and what of a text can be printed."""

from __future__ import annotations

WORDS: dict[str, dict[str, str]] = {
    "invoice": {"zh": "销售发票", "en": "Invoice"},
    "credit_note": {"zh": "贷项通知单", "en": "Credit note"},
    "number": {"zh": "编号", "en": "Number"},
    "issue_date": {"zh": "开具日期", "en": "Date of issue"},
    "order": {"zh": "订单号", "en": "Order"},
    "corrects": {"zh": "对应发票", "en": "Corrects invoice"},
    "seller": {"zh": "销售方", "en": "Seller"},
    "buyer": {"zh": "购买方", "en": "Customer"},
    "tax_id": {"zh": "纳税人识别号", "en": "Tax number"},
    "vat_id": {"zh": "增值税号", "en": "VAT number"},
    "phone": {"zh": "电话", "en": "Telephone"},
    "email": {"zh": "电子邮箱", "en": "E-mail"},
    "bank_account": {"zh": "银行账号", "en": "Bank account"},
    "item": {"zh": "货物或服务", "en": "Goods or service"},
    "quantity": {"zh": "数量", "en": "Quantity"},
    "unit_price": {"zh": "单价", "en": "Unit price"},
    "discount": {"zh": "折扣", "en": "Discount"},
    "net": {"zh": "不含税金额", "en": "Net"},
    "rate": {"zh": "税率", "en": "Tax rate"},
    "tax": {"zh": "税额", "en": "Tax"},
    "gross": {"zh": "含税金额", "en": "Gross"},
    "by_rate": {"zh": "按税率汇总", "en": "By tax rate"},
    "total": {"zh": "价税合计", "en": "Total"},
    "paid": {"zh": "已付", "en": "Paid"},
    "due": {"zh": "应付", "en": "To pay"},
    "shipping": {"zh": "运费", "en": "Shipping"},
    "cancellation_fee": {"zh": "取消手续费", "en": "Cancellation fee"},
    "exempt": {"zh": "免税", "en": "exempt"},
    "exemption": {"zh": "免税依据", "en": "Exempt from tax"},
    "certificate": {"zh": "免税证明编号", "en": "Exemption certificate"},
    "discount_included": {"zh": "已含优惠", "en": "Discount included"},
    "pcs": {"zh": "件", "en": "pcs"},
    "price_change": {"zh": "价格调整", "en": "change of price"},
    "payment": {"zh": "付款方式", "en": "Payment"},
    "page": {"zh": "第 {page} 页,共 {pages} 页", "en": "Page {page} of {pages}"},
}

DISCOUNTS: dict[str, dict[str, str]] = {
    "coupon": {"zh": "优惠券", "en": "coupon"},
    "promotion": {"zh": "促销", "en": "promotion"},
    "agreement": {"zh": "协议价", "en": "agreement"},
    "price_difference": {"zh": "差价", "en": "price difference"},
}


def clean(text: str) -> str:
    """XML has no control characters, not even escaped, and no font has glyphs for them."""
    return "".join(c if c.isprintable() else " " for c in text)
