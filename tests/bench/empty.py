"""What an order costs before anything is done with it: parsed by FastAPI, answered at once."""

from fastapi import FastAPI

from domain.placement_commands import PlaceOrderBody

app = FastAPI()


@app.post("/v1/orders", status_code=201)
async def place(body: PlaceOrderBody) -> dict[str, str]:
    return {"order_id": body.customer_id}
