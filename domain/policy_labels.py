"""How the rules of a policy are said in English and Chinese: titles, sentences, labels of codes."""

from __future__ import annotations

from typing import TypeAlias

Pair: TypeAlias = tuple[str, str]  # en, zh

TITLES: dict[str, Pair] = {
    "shop": ("Shop", "店铺"),
    "intake": ("Order intake", "订单接收"),
    "review": ("Review", "审核"),
    "exceptions": ("Exceptions", "异常识别"),
    "payment": ("Payment", "支付"),
    "cancellation": ("Cancellation", "取消"),
    "refund": ("Refunds", "退款"),
    "returns": ("Returns", "退货"),
    "tracking": ("Delivery", "物流"),
    "terms": ("Handling times", "处理时限"),
    "status": ("Order status", "订单状态"),
    "calendar": ("Working days", "工作日"),
    "invoices": ("Invoices", "发票"),
    "messages": ("Messages", "通知"),
    "days": ("Public holidays", "法定节假日"),
}

# By the path of a rule; {} is its value as people say it.
SENTENCES: dict[str, Pair] = {
    "shop.currency": ("The shop's currency is {}.", "店铺货币为 {}。"),
    "shop.language": ("Papers and messages are in {}.", "单据和通知使用{}。"),
    "intake.wrong": (
        "{channel}: an order that is incomplete or adds up differently is {}.",
        "{channel}：信息不全或金额不符的订单{}。",
    ),
    "intake.short": (
        "{channel}: an order for more than is in stock is {}.",
        "{channel}：库存不足的订单{}。",
    ),
    "review.auto_approve_below": (
        "Orders below {} are approved by themselves; all others wait for a person.",
        "金额低于 {} 的订单自动通过；其他订单及其他货币的订单由人工审核。",
    ),
    "exceptions.duplicate_hours": (
        "The same goods for the same customer within {} hours count as a duplicate.",
        "同一客户 {} 小时内购买相同商品视为重复订单。",
    ),
    "exceptions.price_deviation_bp": (
        "A unit price that is {} or more off the usual one is looked at.",
        "单价偏离常价 {} 及以上需核查。",
    ),
    "exceptions.quantity_factor": (
        "{} times a customer's usual quantity is looked at.",
        "数量达到客户平常的 {} 倍需核查。",
    ),
    "exceptions.negative_margin": (
        "Goods sold below cost are looked at: {}.",
        "低于成本价的商品需核查：{}。",
    ),
    "payment.term_hours": (
        "Payment is due {} hours after placing.",
        "下单后 {} 小时内付款。",
    ),
    "payment.reminder_hours": (
        "Reminders go out so many hours before payment is due: {} (0: when it is due).",
        "付款到期前以下小时数发送提醒：{}（0 为到期时）。",
    ),
    "payment.on_overdue": ("An order that is not paid in time: {}.", "逾期未付款的订单：{}。"),
    "payment.late_fee_percent_per_day": (
        "The late fee is {} % of the outstanding sum for each full day.",
        "滞纳金为每满一日未付金额的 {} %。",
    ),
    "payment.late_fee_cap_bp": (
        "The late fee is at most {} of the outstanding sum.",
        "滞纳金最多为未付金额的 {}。",
    ),
    "payment.tolerance": (
        "Differences of up to {} are written off.",
        "不超过 {} 的差额予以核销。",
    ),
    "payment.overpayment_days": (
        "An overpayment stays on the order for {} days and is then paid back.",
        "多付款项在订单上保留 {} 天，之后退还。",
    ),
    "cancellation.free_hours": (
        "Cancelling is free for {} hours after placing.",
        "下单后 {} 小时内可免费取消。",
    ),
    "cancellation.fee_bp": (
        "After that it costs {} of the cancelled goods.",
        "之后取消收取所取消商品金额 {} 的手续费。",
    ),
    "cancellation.fee_tax_rate_bp": ("The fee includes {} tax.", "手续费含 {} 的税。"),
    "cancellation.until": (
        "Goods can be cancelled until they are {}.",
        "商品在{}之前可以取消。",
    ),
    "cancellation.no_fee_reasons": (
        "There is no fee for these reasons: {}.",
        "以下原因不收手续费：{}。",
    ),
    "refund.working_days": (
        "Refunds are paid within {} working days.",
        "退款在 {} 个工作日内完成。",
    ),
    "refund.decision_working_days": (
        "A request is decided within {} working days.",
        "退款申请在 {} 个工作日内答复。",
    ),
    "refund.second_approval_over": (
        "Refunds over {} need a second person.",
        "超过 {} 的退款需第二人批准。",
    ),
    "refund.evidence_for": (
        "Evidence is needed for these reasons: {}.",
        "以下原因需提供证据：{}。",
    ),
    "refund.seller_reasons": (
        "The seller bears the shipping for these reasons: {}.",
        "以下原因由卖家承担运费：{}。",
    ),
    "returns.no_reason_days": (
        "Goods can be returned without a reason for {} days after delivery.",
        "签收后 {} 天内可无理由退货。",
    ),
    "returns.quality_days": (
        "Faulty goods can be returned for {} days after delivery.",
        "签收后 {} 天内可因质量问题退货。",
    ),
    "returns.excluded_categories": (
        "Not taken back without a reason: {}.",
        "不适用无理由退货的类别：{}。",
    ),
    "returns.restocking_fee_bp": (
        "Returning without a fault costs {} of the goods.",
        "非卖家原因退货收取商品金额 {} 的整理费。",
    ),
    "tracking.dispatch_hours": ("Orders are dispatched within {} hours.", "{} 小时内发货。"),
    "tracking.silent_hours": (
        "A parcel without news for {} hours raises an alert.",
        "包裹 {} 小时无物流更新即预警。",
    ),
    "tracking.delivery_grace_hours": (
        "A delivery is late {} hours after the time that was promised or estimated.",
        "超过承诺或预计送达时间 {} 小时视为延误。",
    ),
    "tracking.quiet_periods": (
        "Days on which no news is expected: {}.",
        "物流停运期：{}。",
    ),
    "terms.review_hours": (
        "Orders are reviewed within {} business hours.",
        "{} 个工作小时内完成审核。",
    ),
    "terms.packing_hours": (
        "Orders are packed within {} business hours.",
        "{} 个工作小时内完成打包。",
    ),
    "status.completed_days": (
        "An order is completed {} days after delivery.",
        "签收 {} 天后订单完成。",
    ),
    "status.counts_as_paid": (
        "An order counts as paid when the money is {}.",
        "款项{}即视为已支付。",
    ),
    "status.confirm": (
        "These steps wait for a person's confirmation: {}.",
        "以下步骤需人工确认：{}。",
    ),
    "calendar.kind": ("Public holidays and make-up days: {}.", "法定节假日和调休：{}。"),
    "calendar.time_zone": ("Days are those of {}.", "日期以 {} 时区为准。"),
    "calendar.weekend": ("The weekend: {}.", "周末：{}。"),
    "calendar.holidays": ("The shop's own holidays: {}.", "店铺自定假日：{}。"),
    "calendar.working_days": (
        "The shop's own make-up working days: {}.",
        "店铺自定调休上班日：{}。",
    ),
    "calendar.covered_until": (
        "The shop's own list of holidays ends: {}.",
        "店铺自定假日列至：{}。",
    ),
    "calendar.opens": ("The office opens at {}.", "{} 开始办公。"),
    "calendar.closes": ("The office closes at {}.", "{} 结束办公。"),
    "invoices.trigger": ("An invoice is written on {}.", "开票时点：{}。"),
    "messages.ways": (
        "Customers are reached by the first of these that works: {}.",
        "按以下顺序联系客户：{}。",
    ),
    "messages.templates": ("Messages with texts of the shop's own: {}.", "自定文本的通知：{}。"),
    "days.holidays": ("Public holidays: {}.", "法定节假日：{}。"),
    "days.working_days": ("Make-up working days: {}.", "调休上班日：{}。"),
    "days.covered_from": ("They are known from: {}.", "数据始于：{}。"),
    "days.covered_until": ("They are known until: {}.", "数据截至：{}。"),
}

CHANNELS: dict[str, Pair] = {
    "web": ("Web", "网店"),
    "phone": ("Phone", "电话"),
    "store": ("Store", "门店"),
    "marketplace": ("Marketplace", "电商平台"),
    "import": ("Import", "导入"),
}

# Of codes that stand as values; what is not here is said as it is.
LABELS: dict[str, Pair] = {
    "yes": ("yes", "是"),
    "no": ("no", "否"),
    "none": ("none", "无"),
    "unbounded": ("never", "不限期"),
    "zh": ("Chinese", "中文"),
    "en": ("English", "英文"),
    "refuse": ("refused", "拒绝接收"),
    "record": ("recorded, held, and opens a case", "照录、挂起并立案"),
    "backorder": ("taken, what is short as a backorder", "接收，缺货部分转为预订"),
    "hold": ("recorded, held, and opens a case", "照录、挂起并立案"),
    "cancel": ("cancelled without a fee", "取消，不收手续费"),
    "late_fee": ("charged a late fee", "收取滞纳金"),
    "stop_service": ("the customer is not served until it is paid", "付清前停止为该客户服务"),
    "packed": ("packed", "打包"),
    "dispatched": ("dispatched", "发货"),
    "captured": ("captured", "到账"),
    "authorised": ("authorised", "授权"),
    "china": ("those of China", "中国"),
    "own": ("the shop's own only", "仅店铺自定"),
    "dispatch": ("dispatch", "发货时"),
    "payment": ("payment", "付款时"),
    "completion": ("completion", "完成时"),
    "request": ("request", "客户要求时"),
    "mail": ("mail", "邮件"),
    "sms": ("SMS", "短信"),
    "monday": ("Monday", "周一"),
    "tuesday": ("Tuesday", "周二"),
    "wednesday": ("Wednesday", "周三"),
    "thursday": ("Thursday", "周四"),
    "friday": ("Friday", "周五"),
    "saturday": ("Saturday", "周六"),
    "sunday": ("Sunday", "周日"),
    "approve": ("approving", "审核通过"),
    "cancel_overdue": ("cancelling what is overdue", "取消逾期订单"),
    "charge_late_fee": ("charging a late fee", "收取滞纳金"),
    "reinstate": ("reinstating a cancelled order that was paid", "恢复已付款的取消订单"),
    "refund_overpayment": ("paying back an overpayment", "退还多付款项"),
    "write_off_difference": ("writing off a difference", "核销差额"),
    "complete": ("completing", "完成订单"),
    "quality_problem": ("quality problem", "质量问题"),
    "wrong_item": ("wrong item", "发错商品"),
    "damaged": ("damaged", "商品破损"),
    "not_as_described": ("not as described", "与描述不符"),
    "lost": ("lost", "丢失"),
    "late": ("late", "延误"),
    "cancellation": ("cancellation", "取消订单"),
    "changed_mind": ("changed mind", "改变主意"),
    "overpayment": ("overpayment", "多付款项"),
    "other": ("other", "其他"),
    "seller_fault": ("the seller's fault", "卖家原因"),
    "overdue": ("overdue", "逾期未付"),
    "duplicate": ("duplicate", "重复订单"),
    "out_of_stock": ("out of stock", "缺货"),
    "price_error": ("price error", "价格错误"),
    "fraud": ("fraud", "欺诈"),
    "missed_dispatch": ("late dispatch", "未按时发货"),
    "missed_promise": ("broken promise", "未按承诺送达"),
    "bank_transfer": ("bank transfer", "银行转账"),
    "credit_card": ("credit card", "信用卡"),
    "alipay": ("Alipay", "支付宝"),
    "wechat_pay": ("WeChat Pay", "微信支付"),
    "cash_on_delivery": ("cash on delivery", "货到付款"),
    "store_credit": ("store credit", "账户余额"),
    "gift_balance": ("gift balance", "礼品卡余额"),
    "on_account": ("on account", "月结"),
}
