// Shows the live picture of the ledger. Everything from the server goes in as text, never as HTML.
"use strict";

const KNOWN_MAX = 500; // order numbers remembered, to mark new ones
const known = new Set();
let first = true;

const element = (id) => document.getElementById(id);

function make(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== null) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function cell(label, text, attributes = {}) {
  return make("td", text, { "data-label": label, ...attributes });
}

function badge(order) {
  const made = make("span", null, { class: "badge", "data-status": order.status });
  made.append(make("b", order.zh), " ", make("span", order.en, { lang: "en" }));
  return made;
}

function orderRow(order) {
  const row = make("tr", null);
  if (!first && !known.has(order.number)) row.className = "new";
  const status = cell("状态", null);
  status.append(badge(order));
  const placed = new Date(order.placed_at);
  row.append(
    cell("单号", order.number, { class: "code" }),
    status,
    cell("客户", order.customer_id),
    cell("渠道", order.channel),
    cell("金额", order.total, { class: "number" }),
    cell("下单时间", placed.toLocaleString("zh-CN", { hour12: false })),
  );
  return row;
}

function tile(count) {
  const made = make("li", null, { "data-status": count.status });
  if (count.count === 0) made.className = "none";
  made.append(
    make("b", count.count.toLocaleString("en")),
    make("span", count.zh),
    make("span", count.en, { lang: "en" }),
  );
  return made;
}

function projectionRow(one) {
  const row = make("tr", null, { class: one.parked > 0 ? "parked" : "" });
  const number = { class: "number" };
  row.append(
    cell("名称", one.parked > 0 ? `${one.name} (${one.parked} parked)` : one.name, { class: "code" }),
    cell("位置", one.position.toLocaleString("en"), number),
    cell("落后事件", one.lag_events.toLocaleString("en"), number),
    cell("落后秒", one.lag_seconds.toFixed(1), number),
  );
  return row;
}

function connection(text, english, good) {
  const line = element("connection");
  line.replaceChildren(`${text} `, make("span", english, { lang: "en" }));
  line.classList.toggle("good", good);
}

function show(picture) {
  if (picture.down) {
    connection("数据库不可用", "the database is away", false);
    return;
  }
  connection("实时", "live", true);
  element("head").textContent = picture.head.toLocaleString("en");
  element("counts").replaceChildren(...picture.counts.map(tile));
  element("orders").replaceChildren(...picture.orders.map(orderRow));
  element("projections").replaceChildren(...picture.projections.map(projectionRow));
  element("no-orders").hidden = picture.orders.length > 0;
  element("no-projections").hidden = picture.projections.length > 0;
  if (known.size > KNOWN_MAX) known.clear();
  for (const order of picture.orders) known.add(order.number);
  first = false;
}

const source = new EventSource("/live");
source.onmessage = (message) => show(JSON.parse(message.data));
source.onerror = () => connection("连接中断，正在重连…", "connection lost, trying again", false);
