"""What RESULTS.md says around its tables: how each was measured, and how to read it."""

from __future__ import annotations

HEAD = """\
# The generator against its peers

Made by `make bench`; all figures are of one run on one machine, so the ratios mean more than the numbers.

{facts}

A client is `not believed`, and its figures are left out, if it reports more answers than the server has given."""

THROUGHPUT = """\
## Requests per second from one core

{noise}{goals}

The servers compute nothing: a null gRPC server in C++ (bench/native/null_server.cc) and nginx. Every client is a closed
loop: as many users as said, each sending again when it is answered. Ours runs an example locustfile with all measuring
on: two objectives and a report. The others do less: Locust + grpcio sends one message object over one channel,
FastHttpUser one prepared body, h2load and wrk (both in C) one file. gRPC clients use one connection.

- **requests/s**: by the client's own report, the median of the rounds, and the lowest and highest of them.
- **wire is**, **library is**: how many times this client's figure our engine makes; the median of the ratios of rounds
  that ran next to each other. First by the rate, then by requests for the same processor time, which also holds where
  the server was the limit, or the machine was busy.
- **CPU us/request**: user and system time of the client's process, for each request that the server answered.
- **client's core**, **server's core**: how busy. A client whose core is not full was waiting for its server.
- **all else**: what other processes and the machine's host used in that time, of a core. Rounds in which it was above a
  tenth are left out where there are others."""

TRUTH = """\
## Are the reported times true?

{table}

A server that answers 5 ms after it has read a request, asked at a fixed rate: by 200 users of ours that share a
schedule, and by a client in C++ (bench/native/paced_client.cc) that does nothing else. All times in milliseconds, after
the first second of each run, medians of the rounds.

- the first **p50**, **p99**, **p99.9**: service time as the client reports it, sent until answered;
- **server's** p50, p99, p99.9: what it says of itself in the same run: read until written, as far as gRPC tells;
- **beyond it**: the difference: the way there and back, waiting for the processor, the client's error. The client in
  C++ shows how much of that is the machine's;
- **send lag**: how late requests were sent, as reported; **response**: the time from when they were due."""

FOOTPRINT = """\
## A thousand users at their leisure

{calm}

Each calls once a second. Memory is the most that the process held.

## A worker's start

{starts}

From the start of the process until the master has it as ready, with the server there; no load yet."""

CHECKS = """\
## What optional parts cost

{table}"""

RECORDING = """\
## Recording a request

```
{printed}```"""

SCRAPING = """\
## A scrape of a large run

```
{printed}```

What Prometheus costs the master: all series of the run are made anew, while a heartbeat beats beside it."""

WORKERS = """\
## What a worker costs its master

{table}

A master of so many workers, 2 users each, for half a minute, and with real ones for 0.6 s more for each, which is what
they take to start; the figures are of the time from six seconds after its beginning until the load ends. Real workers
are processes of their own, forked from one, on both cores, and send to the null server; simulated ones are in one
process on a core of its own, each with its own connection, Locust's messages, and reports made by our own tally. The
master's process is alone with the null server on the other core.

- **CPU**: user and system time of the master's process, of a core; **CPU us/report**: all of that, heartbeats and what
  the master does without any worker included, for each live report;
- **bytes/report**: Locust's statistics and ours, as taken from the wire; **kB/s to it**: with heartbeats;
- **loop late**: the latest that a beat of 20 ms in the master's event loop came; **answered within**: the longest that
  a heartbeat of a simulated worker waited for the master's answer, from the first connection to the end;
- **heartbeats missed**: workers of which no heartbeat came for three seconds, at which Locust takes them for gone (the
  start is not counted: a hundred processes that start at once on two cores are silent for longer);
- **verdict after**: from the end of the load until the report is written and the verdict printed; **loop late then**:
  the longest standstill in that time;
- **requests**: as reported, and as counted by the null server or the simulated workers: a master whose count differs is
  `not believed`.

{growth}

A straight line through the processor time of each kind: what each worker adds, and how far from the line each master
was, in the order of the table."""
