#!/usr/bin/env python3
"""Makes the corpus of payloads beside this file: typical args of jobs, one JSON array a line.

Every id is random, because ids do not compress; the seed is fixed, so that each run makes the same
files. Texts are sentences made of phrases, which compress somewhat better than prose does."""
import json
import random
import uuid
from pathlib import Path

rng = random.Random(20261124)
SIZES = {"100B": (100, 200), "1KB": (1_000, 60), "10KB": (10_000, 12), "100KB": (100_000, 2)}


def uid():
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def when():
    date = f"2026-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    time = f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}"
    return f"{date}T{time}.{rng.randint(0, 999):03}Z"


GOODS = [
    ("Ceramic mug", "kitchen"), ("Cotton towel, large", "bath"), ("Desk lamp", "lighting"),
    ("Walnut shelf", "furniture"), ("Travel adapter", "electronics"), ("Running socks", "clothing"),
    ("Espresso beans, 1 kg", "food"), ("Notebook, dotted", "paper"),
    ("Wireless mouse", "electronics"), ("Rain jacket", "clothing"), ("Olive oil, 500 ml", "food"),
    ("Picture frame", "decoration"), ("Garden hose, 20 m", "garden"), ("Bicycle pump", "sports"),
    ("Yoga mat", "sports"), ("Wall clock", "decoration"),
]
COLOURS = ["blue", "black", "white", "green", "sand", "red"]
CITIES = [
    ("Hamburg", "20095", "DE"), ("Lyon", "69002", "FR"), ("Gent", "9000", "BE"),
    ("Porto", "4000-322", "PT"), ("Graz", "8010", "AT"),
]
NAMES = [
    "Ann Becker", "Luc Martin", "Sofia Costa", "Jan Peeters", "Mia Huber", "Omar Haddad",
    "Ines Lopes", "Tom Keller",
]


def item():
    name, kind = rng.choice(GOODS)
    price = rng.randint(199, 19_999)
    quantity = rng.randint(1, 4)
    return {
        "sku": f"{kind[:3].upper()}-{rng.randint(100_000, 999_999)}", "name": name,
        "category": kind, "colour": rng.choice(COLOURS), "quantity": quantity,
        "unit_price": {"amount": f"{price / 100:.2f}", "currency": "EUR"}, "tax_rate": "0.19",
        "discount": None, "gift_wrap": False, "warehouse": rng.choice(["north-1", "south-2"]),
    }


def address():
    city, code, country = rng.choice(CITIES)
    return {
        "name": rng.choice(NAMES), "street": f"Market Street {rng.randint(1, 180)}",
        "postcode": code, "city": city, "country": country,
    }


def order(size):
    if size <= 100:
        order_id, total = uid(), f"{rng.randint(500, 90_000) / 100:.2f}"
        return {"order_id": order_id, "total": total, "items": rng.randint(1, 9)}
    made = {
        "order_id": uid(), "customer_id": uid(), "placed_at": when(), "status": "paid",
        "currency": "EUR", "shipping_address": address(), "billing_address": address(),
        "items": [item()],
    }
    while len(json.dumps(made)) < size - 150:
        made["items"].append(item())
    return made


PAGES = [
    "/", "/cart", "/checkout", "/search", "/products/shelves", "/products/lamps",
    "/account/orders", "/help/returns",
]
AGENTS = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_2 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/19.2 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 "
    "(KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
]
KINDS = ["page_viewed", "item_added", "item_removed", "search_made", "checkout_begun"]


def event():
    return {
        "event_id": uid(), "type": rng.choice(KINDS), "at": when(), "session": uid(),
        "user": rng.randint(1, 900_000), "page": rng.choice(PAGES),
        "device": {
            "agent": rng.choice(AGENTS), "width": rng.choice([390, 1280, 1920]),
            "language": rng.choice(["de", "fr", "en"]),
        },
    }


def events(size):
    if size <= 100:
        return {
            "event_id": uid(), "type": rng.choice(["page_viewed", "item_added"]),
            "at": 1_790_000_000 + rng.randint(0, 9_999_999),
        }
    batch = [event()]
    while len(json.dumps(batch)) < size - 200:
        batch.append(event())
    return batch


SUBJECTS = [
    "the committee", "our supplier", "the new schedule", "each department", "the northern office",
    "a later review", "the customer", "this agreement", "the draft budget",
    "the harbour authority", "the maintenance team", "an earlier report", "the second phase",
]
VERBS = [
    "confirms", "has postponed", "will replace", "does not mention", "describes in detail",
    "depends on", "should not delay", "extends", "was based on", "must be approved before",
    "leaves open", "brings forward",
]
OBJECTS = [
    "the delivery of spare parts", "the inspection planned for spring",
    "every invoice above the limit", "the terms agreed in writing", "the change of address",
    "the cost of storage", "a second round of interviews", "the insurance of the vessel",
    "the test results", "the training of new staff", "the heating of the east wing",
    "the list of open questions", "the transfer of the archive",
]
TAILS = [
    "until further notice", "within thirty days", "as noted in the annex", "for the first time",
    "without additional charge", "subject to approval", "although no date was given",
    "in accordance with the rules", "by the end of the quarter", "at the request of both sides",
]


def sentence():
    number = rng.choice(["", "", f" under number {rng.randint(1000, 99_999)}"])
    subject, verb, what = rng.choice(SUBJECTS), rng.choice(VERBS), rng.choice(OBJECTS)
    text = f"{subject} {verb} {what}{number} {rng.choice(TAILS)}."
    return text[0].upper() + text[1:]


def document(size):
    if size <= 100:
        return {"id": uid(), "text": f"{rng.choice(SUBJECTS)} {rng.choice(TAILS)}"}
    text = sentence()
    while len(text) < size - 180:
        text += rng.choice([" ", " ", " ", "\n\n"]) + sentence()
    return {"document_id": uid(), "title": sentence(), "author": rng.choice(NAMES), "text": text}


def request(clock):
    """The lines of one request in the log, in the order of time, all with the request's id."""
    service, number = rng.choice(["checkout", "catalogue", "payments"]), rng.randint(1, 4)
    request_id = f"{rng.getrandbits(64):016x}"
    page = rng.choice(PAGES)
    client = f"10.0.{rng.randint(0, 255)}.{rng.randint(1, 254)}"
    whats = [f'"GET {page} HTTP/1.1" received from {client}']
    for _ in range(rng.randint(0, 3)):
        database, in_use = rng.randint(1, 3), rng.randint(0, 50)
        whats.append(rng.choice([
            f"connection to db-{database} returned to the pool in_use={in_use}",
            f"cache miss key=product:{rng.randint(1, 90_000)}",
            f"retrying request attempt={rng.randint(1, 3)} backoff_ms=250",
        ]))
    whats.append(f"answered 200 bytes={rng.randint(200, 90_000)} took_ms={rng.randint(1, 400)}")
    for what in whats:
        clock += rng.randint(1, 90)
        seconds, ms = divmod(clock, 1000)
        at = f"2026-11-24T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{ms:03}Z"
        level = "WARN" if what.startswith("retrying") else "INFO"
        yield clock, f"{at} {level} {service}-{number} request_id={request_id} {what}"


def logs(size):
    if size <= 100:
        number, request_id = rng.randint(1, 4), f"{rng.getrandbits(64):016x}"
        took = rng.randint(1, 400)
        return {"line": f"INFO checkout-{number} request_id={request_id} took_ms={took}"}
    lines, clock = [], rng.randint(0, 80_000_000)
    while sum(map(len, lines)) + 4 * len(lines) < size - 250:
        for clock, line in request(clock):
            lines.append(line)
    return lines


def line(args):
    return json.dumps(args, separators=(",", ":"), ensure_ascii=False) + "\n"


MAKERS = {"orders": order, "events": events, "documents": document, "log-lines": logs}
for kind, make in MAKERS.items():
    for name, (size, count) in SIZES.items():
        file = Path(__file__).parent / f"{kind}-{name}.ndjson"
        file.write_text("".join(line([make(size)]) for _ in range(count)))
