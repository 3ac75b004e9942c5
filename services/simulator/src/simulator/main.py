"""The composition root: settings to parts, parts to the application, the application to its server."""

from __future__ import annotations

import os
import sys

import uvicorn

from simulator.answers import Writer
from simulator.app import Simulator
from simulator.bills import Bills
from simulator.calls import Calls
from simulator.connection import Protocol
from simulator.control import Control
from simulator.faults import FaultRules
from simulator.gates import Gates
from simulator.journal import Journal
from simulator.keys import Keys
from simulator.recordings import Recordings
from simulator.records import CallRecords
from simulator.settings import Settings, SettingsError, read_settings
from simulator.wires import Speaker
from simulator.wires.anthropic.wire import AnthropicSpeaker
from simulator.wires.bedrock.wire import BedrockSpeaker
from simulator.wires.cohere.wire import CohereSpeaker
from simulator.wires.gemini.accounts import TokenSpeaker
from simulator.wires.gemini.wire import google_speakers
from simulator.wires.openai.rows import plain_row, rows
from simulator.wires.openai.speaker import OpenAISpeaker
from simulator.wires.openai.stream import StreamWriter

GRACE_SECONDS = 5
WRONG_SETTING = 2


def create_app(settings: Settings) -> Simulator:
    """The application of these settings; its journal is opened when its server starts."""
    writer, journal, records = Writer(settings.seed), Journal(settings.journal), CallRecords()
    streams = StreamWriter(writer.words)
    speakers: list[Speaker] = [
        AnthropicSpeaker(),
        BedrockSpeaker(),
        CohereSpeaker(),
        *google_speakers(),
        TokenSpeaker(),
        *(OpenAISpeaker(row, streams) for row in rows()),
    ]
    rules, keys, gates = FaultRules(frozenset(speaker.wire.provider for speaker in speakers)), Keys(), Gates()
    recordings = Recordings(settings.recordings)
    calls = Calls(writer, journal, records, rules, keys, recordings, gates, coalesces=settings.coalesces)

    def stranger(name: str) -> Speaker | None:
        row = plain_row(name)
        return OpenAISpeaker(row, streams) if row is not None else None

    bills = Bills(records)
    control = Control(rules, keys, records, journal, bills, gates)
    return Simulator(calls, control, journal, keys, recordings, bills, speakers, stranger)


def run() -> int:
    """Serves until told to stop; the exit code is 2 for a wrong setting."""
    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"simulator: {error}\n")
        return WRONG_SETTING
    uvicorn.run(
        create_app(settings),
        host=settings.http_host,
        port=settings.http_port,
        http=Protocol,
        ws="none",
        loop="auto",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    return 0
