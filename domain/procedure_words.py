"""What the procedure document says beside the rules of the policy, in English and Chinese."""

from __future__ import annotations

from domain.policy_labels import Pair

TITLE: Pair = ("Order management procedure", "订单管理程序文件")
EXTRACT_TITLE: Pair = ("Ordering, paying and returning", "客户须知：支付、取消、退款与退货")

CHAPTERS: dict[str, Pair] = {
    "intake": ("Order intake", "订单接收"),
    "review": ("Review", "审核"),
    "processing": ("Processing", "订单处理"),
    "payment": ("Payment", "支付"),
    "cancellation": ("Cancellation", "取消"),
    "refund": ("Refunds and returns", "退款与退货"),
    "exceptions": ("Exceptions", "异常处理"),
    "rights": ("Rights", "权限"),
    "backup": ("Backup", "备份"),
}

BLOCKS: dict[str, Pair] = {
    "system": ("The system sees to it", "由系统执行"),
    "people": ("Not automatic: people see to it", "非自动执行，由人员负责"),
    "settings": ("Settings", "基本设定"),
    "rights": ("Who may do what", "权限表"),
}

COLUMNS: tuple[Pair, ...] = (
    ("Right", "权限"),
    ("Allows", "允许的操作"),
    ("Who has it", "拥有者"),
)

EVERYONE: Pair = ("everyone who calls", "所有调用者")

# What holds whatever the policy says. {} are numbers and names out of the code that sees to it.
FACTS: dict[str, Pair] = {
    "intake.channels": ("Orders come in by: {channels}.", "订单来源：{channels}。"),
    "intake.lines": ("An order has at most {lines} lines.", "每张订单最多 {lines} 行。"),
    "intake.number": (
        "Each order has a number of {digits} digits; the last one shows a slip.",
        "每张订单有 {digits} 位编号，末位为校验码。",
    ),
    "intake.once": (
        "The same reference of a shop is one order, however often it is sent.",
        "同一店铺的同一外部单号无论提交几次都只生成一张订单。",
    ),
    "intake.pinned": (
        "An order keeps the rules that were in force when it was placed.",
        "订单始终适用下单时生效的规则。",
    ),
    "review.before_packing": (
        "Nothing is packed before its order is approved.",
        "订单审核通过之前不得打包。",
    ),
    "processing.stock": (
        "Units are promised to an order in the write that records it; none is promised twice.",
        "库存在下单的同一次写入中预留，同一件商品不会预留两次。",
    ),
    "processing.paid": (
        "Goods leave when the order is paid in full; not so with {later}.",
        "订单全额付款后方可发货；{later}除外。",
    ),
    "processing.unpaid": (
        "What is not paid leaves by the right order.ship_unpaid only, with a reason.",
        "未付清的订单只有持 order.ship_unpaid 权限并注明原因方可发货。",
    ),
    "processing.scans": (
        "Carriers' news moves orders on by the carrier's time; old news never moves a parcel back.",
        "物流更新按承运商时间推进订单状态，迟到的旧信息不会使包裹状态倒退。",
    ),
    "processing.packed": (
        "What is packed can no longer be taken off the order.",
        "已打包的商品不能再从订单中减少。",
    ),
    "payment.methods": ("Payment is possible by: {methods}.", "支付方式：{methods}。"),
    "payment.parts": (
        "An order can be paid in parts and by several methods.",
        "订单可以分次、以多种方式支付。",
    ),
    "payment.on_account": (
        "On account needs a limit agreed with the customer, which all open orders share.",
        "月结须事先约定信用额度，所有未结订单共用该额度。",
    ),
    "payment.at_the_door": (
        "Cash on delivery is asked for at the door; nothing is owed for what is refused there.",
        "货到付款在收货时收取；当场拒收的商品无需付款。",
    ),
    "payment.spared": (
        "What is paid later, packed, or has money paid or held is not cancelled as overdue.",
        "后付款、已打包、已有付款或授权的订单不会因逾期而取消。",
    ),
    "payment.reinstated": (
        "An order cancelled as overdue lives again by money in time, if it is enough and in stock.",
        "因逾期取消的订单，若款项按期到账且足额、库存充足，则自动恢复。",
    ),
    "payment.dispute": (
        "While a payment is charged back, nothing leaves, and that money is not refunded.",
        "拒付处理期间不发货，相应款项也不退还。",
    ),
    "cancellation.packed": (
        "What is packed has to be stopped in the warehouse first; what has left is a return.",
        "已打包的商品须先由仓库拦停；已发出的商品按退货处理。",
    ),
    "cancellation.packed_stays": (
        "What was packed is no longer cancelled; what has left is a return.",
        "已打包的商品不再取消；已发出的商品按退货处理。",
    ),
    "cancellation.intercept": (
        "Of what is on its way an intercept can be requested; that costs no cancellation fee.",
        "运输途中的包裹可以申请拦截，不收取取消手续费。",
    ),
    "cancellation.fee_bound": (
        "The fee is never more than what was paid and not given back.",
        "手续费不超过已付且尚未退还的金额。",
    ),
    "cancellation.shipping": (
        "Shipping is given back when all is cancelled before anything has left.",
        "在任何商品发出之前取消全部订单的，运费一并退还。",
    ),
    "cancellation.stock": (
        "Stock is freed in the write that cancels.",
        "取消的同一次写入释放库存。",
    ),
    "refund.bound": (
        "All refunds together, also those only requested, are never more than what was paid.",
        "全部退款（含已申请未支付的）合计不超过已付金额。",
    ),
    "refund.share": (
        "A refund of goods takes its share of discount and tax.",
        "商品退款按比例计入折扣和税额。",
    ),
    "refund.undelivered": (
        "What comes back undelivered is taken back at any time and refunded like any return.",
        "未送达而退回的商品不受退货期限限制，按退货办理退款。",
    ),
    "exceptions.parcel": (
        "An order whose parcel is in trouble or lost is shown as an exception.",
        "包裹异常或丢失的订单显示为“异常”。",
    ),
    "exceptions.case": (
        "A blocking case holds its order until it is closed with its cause and the action taken.",
        "阻断性异常会暂停订单，直至注明原因和处理措施并关闭。",
    ),
    "exceptions.compared": (
        "Of placed orders this is looked at, from {count} earlier ones on; nothing is cancelled.",
        "对已下订单进行上述比对（至少有 {count} 笔先前订单），系统不会自行取消订单。",
    ),
    "exceptions.hold": (
        "What is held is not packed and does not leave; holds of type {types} capture no money.",
        "暂停的订单不打包、不发货；类型为{types}的暂停期间也不扣款。",
    ),
    "exceptions.override": (
        "With a reason, what an order shows can be overridden; decisions look at facts only.",
        "注明原因后可人工覆盖订单显示的状态；系统仍按事实处理。",
    ),
    "exceptions.override_ends": (
        "Such an override ends with the next fact, unless it is to stay.",
        "除非选择保留，下一个事实即终止覆盖。",
    ),
    "exceptions.unreadable": (
        "Carriers' records that nobody can read are set aside with the reason.",
        "无法读取的物流记录连同原因单独存放。",
    ),
    "exceptions.resend": (
        "Look at them with `ledger dead-letters --list`, and send them again after the fix.",
        "用 `ledger dead-letters --list` 查看，修复后重新发送。",
    ),
    "rights.no_accounts": (
        "There are no accounts yet: callers on this machine say who they are, and may do all.",
        "目前尚无账户：本机的调用者自报身份，并拥有全部权限。",
    ),
    "rights.log": (
        "Changes, refusals and looks at personal data are recorded with who and when.",
        "变更、被规则拒绝的操作和对个人信息的查看均记录操作人和时间。",
    ),
    "backup.none": ("The system makes no backups yet.", "系统目前尚不自动备份。"),
    "backup.fixed": (
        "No recorded event can be changed or deleted: the database refuses it.",
        "已记录的事件不能修改或删除，数据库会拒绝。",
    ),
    "backup.database": (
        "Back up the ledger's PostgreSQL by its own means.",
        "用 PostgreSQL 自带的工具备份账本数据库。",
    ),
    "backup.rebuilt": (
        "Read models and analytics need no backup: `ledger rebuild all` makes them anew.",
        "查询数据和分析数据无需备份：`ledger rebuild all` 可重新生成。",
    ),
    "backup.key": (
        "Keep the master key (LEDGER_MASTER_KEY) elsewhere: it opens personal data in a backup.",
        "主密钥（LEDGER_MASTER_KEY）另行保管：备份中的个人信息须用它解密。",
    ),
    "backup.verify": (
        "After restoring, check with `ledger verify` that no event is missing.",
        "恢复后用 `ledger verify` 检查事件是否齐全。",
    ),
}

PERMISSIONS: dict[str, Pair] = {
    "order.place": ("place orders", "下单"),
    "order.read": ("see orders, their events and papers", "查看订单、事件和单据"),
    "order.draft": ("type in drafts and offer quotes", "录入草稿并报价"),
    "order.review": ("approve and reject orders", "审核订单（通过或拒绝）"),
    "order.hold": ("hold and release orders", "暂停和恢复订单"),
    "case.manage": ("work on exception cases", "处理异常订单"),
    "order.amend": ("change orders", "修改订单"),
    "order.price": ("change prices", "修改价格"),
    "order.cancel": ("cancel orders", "取消订单"),
    "order.note": ("add notes", "添加备注"),
    "order.override": ("override what status is shown", "人工覆盖显示状态"),
    "order.void": ("void orders that nothing happened to", "作废未处理的订单"),
    "order.confirm_receipt": ("confirm that all has arrived", "确认收货"),
    "order.replace": (
        "send lost, short or damaged goods once more at no price",
        "免费补发丢失、短少或损坏的商品",
    ),
    "order.reinstate": ("reinstate orders that were cancelled", "恢复已取消的订单"),
    "order.ship_unpaid": ("dispatch what is not paid, with a reason", "注明原因后发出未付款订单"),
    "payment.record": ("record payments", "登记付款"),
    "payment.capture": ("take money that is authorised", "请款（已授权款项）"),
    "payment.void": ("give up or undo payments", "撤销付款"),
    "payment.move": ("move payments booked wrongly", "转移误记的付款"),
    "payment.dispute": ("record chargebacks", "登记拒付"),
    "payment.write_off": ("write off differences", "核销差额"),
    "payment.remit": ("record what carriers collected", "登记承运商代收款"),
    "payment.reconcile": ("import statements and match them", "导入对账单并核对"),
    "period.close": ("close months", "月结关账"),
    "late_fee.charge": ("charge late fees", "收取滞纳金"),
    "late_fee.waive": ("waive late fees", "免除滞纳金"),
    "parcel.pack": ("pack parcels", "打包"),
    "parcel.dispatch": ("dispatch parcels", "发货"),
    "parcel.deliver": ("record deliveries", "确认送达"),
    "parcel.intercept": ("ask carriers to bring parcels back", "申请拦截包裹"),
    "refund.request": ("request refunds", "申请退款"),
    "refund.approve": ("approve refunds", "批准退款"),
    "refund.pay": ("pay refunds", "支付退款"),
    "compensation.pay": ("pay compensation beyond the price", "支付超出价款的补偿"),
    "evidence.add": ("add evidence", "提交证据"),
    "return.request": ("request returns", "申请退货"),
    "return.decide": ("approve and deny returns", "审批退货"),
    "return.receive": ("receive returned goods", "签收退货"),
    "invoice.issue": ("issue invoices", "开具发票"),
    "credit_note.issue": ("issue credit notes", "开具贷项通知单"),
    "fapiao.request": ("ask for fapiao and red letters", "申请发票及红冲"),
    "fapiao.record": ("record fapiao and red letters", "登记发票及红字发票"),
    "stock.read": ("see stock", "查看库存"),
    "stock.receive": ("receive goods", "入库"),
    "stock.adjust": ("correct stock, with a reason", "注明原因后调整库存"),
    "customer.read": ("see customers", "查看客户"),
    "customer.write": ("record customers", "登记客户"),
    "customer.read_personal": ("see personal data; every look is recorded", "查看个人信息（留痕）"),
    "policy.read": ("see the rules", "查看规则"),
    "policy.publish": ("publish rules", "发布规则"),
    "procedure.read": ("see this document", "查看本文件"),
    "procedure.issue": ("issue this document", "签发本文件"),
    "procedure.acknowledge": ("acknowledge this document", "确认已阅读本文件"),
    "account.read": ("see customers' accounts", "查看客户账户"),
    "account.credit": ("grant credit and gifts", "发放余额和礼品卡"),
    "account.limit": ("agree limits for orders on account", "约定月结额度"),
    "report.run": ("run reports and analytics", "查看报表和分析"),
    "ledger.read": ("read the whole feed of events", "读取全部事件"),
}
