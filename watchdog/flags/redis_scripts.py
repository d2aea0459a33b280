"""The keys of a flag set in Redis, and the two Lua scripts that read and change it in one step each.

The braces in the keys are a hash tag: on a Redis cluster all keys of a set are in one slot, as a script needs it.

    slo-watchdog:{SET}:doc       string   the flagd document
    slo-watchdog:{SET}:version   string   its version N, for readers that poll
    slo-watchdog:{SET}:history   stream   entry N-0: audit (JSON), doc, idem; a hand edit found after N is N-1
    slo-watchdog:{SET}:idem      hash     idempotency key -> N, for as long as the history has entry N
    slo-watchdog:{SET}:changed   channel  N, after every change; then, unless it is large, a line feed and the document
    KEY:rejected                 what a kill found in the place of KEY and could not use
"""

from __future__ import annotations

from dataclasses import dataclass

LARGEST = 4 * 1024 * 1024
"""Bytes of a document that are read at all: a set of a thousand flags has 0.3 MB."""
TOLD = 64 * 1024
"""Bytes of a document up to which it is sent with its announcement: each reader's buffer in Redis holds a copy."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Where one flag set is. `name` is the set's name, without braces."""

    name: str

    @property
    def doc(self) -> str:
        """The flagd document."""
        return f"slo-watchdog:{{{self.name}}}:doc"

    @property
    def version(self) -> str:
        """The document's version, a decimal number."""
        return f"slo-watchdog:{{{self.name}}}:version"

    @property
    def history(self) -> str:
        """The stream of changes."""
        return f"slo-watchdog:{{{self.name}}}:history"

    @property
    def idem(self) -> str:
        """The hash of idempotency keys."""
        return f"slo-watchdog:{{{self.name}}}:idem"

    @property
    def changed(self) -> str:
        """The channel on which versions are announced."""
        return f"slo-watchdog:{{{self.name}}}:changed"

    @property
    def all(self) -> tuple[str, ...]:
        """The keys that the scripts take: the four, and where what is in their way is put aside."""
        owned = (self.doc, self.version, self.history, self.idem)
        return (*owned, *(f"{key}:rejected" for key in owned))


_STATE = """
local function state(key, whole)
  local kind = redis.call('TYPE', key).ok
  if kind == 'none' then return 'none' end
  if kind ~= 'string' then return 'type:' .. kind end
  if not whole then return 'is:' .. redis.call('GETRANGE', key, 0, 31) end
  local size = redis.call('STRLEN', key)
  if size > LIMIT then return 'size:' .. string.format('%d', size) end
  return 'sha:' .. redis.sha1hex(redis.call('GET', key))
end
""".replace("LIMIT", str(LARGEST))
"""What is under a key, in a word that is equal exactly when the content is: a script's caller compares with it."""

LOAD = (
    _STATE
    + """
local doc = state(KEYS[1], true)
local raw = ''
if string.sub(doc, 1, 4) == 'sha:' then raw = redis.call('GET', KEYS[1]) end
local replayed = ''
if ARGV[1] ~= '' and redis.call('TYPE', KEYS[4]).ok == 'hash' then
  replayed = redis.call('HGET', KEYS[4], ARGV[1]) or ''
end
return {doc, raw, state(KEYS[2], false), replayed}
"""
)
"""ARGV: idempotency key or ''. Answers the states of document and version, the document, the key's version or ''."""

SWAP = (
    _STATE
    + """
local kinds = {'string', 'string', 'stream', 'hash'}
local doc, version, history, idem = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local seen_doc, seen_version, key, honour = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1'
local number, text, audit, channel, keep = ARGV[5], ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9])
local external, force, aside = ARGV[10], ARGV[11] == '1', ARGV[12]

if honour and key ~= '' and redis.call('TYPE', idem).ok == 'hash' then
  local before = redis.call('HGET', idem, key)
  if before then return {'replayed', before} end
end
if state(doc, true) ~= seen_doc or state(version, false) ~= seen_version then return {'conflict'} end

local displaced = {}
for i = 1, 4 do
  local kind = redis.call('TYPE', KEYS[i]).ok
  local foreign = kind ~= 'none' and kind ~= kinds[i]
  if foreign and not force then return {'type', KEYS[i], kind, kinds[i]} end
  displaced[i] = force and kind ~= 'none' and (foreign or string.find(aside, tostring(i), 1, true))
end
for i = 3, 4 do
  if displaced[i] then redis.call('RENAME', KEYS[i], KEYS[i + 4]) end
end

local last = redis.call('XREVRANGE', history, '+', '-', 'COUNT', 1)[1]
if last then
  local major, minor = string.match(last[1], '^(%d+)-(%d+)$')
  if tonumber(major) >= tonumber(number) then return {'behind', major} end
  local held = ''
  for i = 1, #last[2], 2 do
    if last[2][i] == 'doc' then held = last[2][i + 1] end
  end
  if external ~= '' and redis.sha1hex(held) ~= string.sub(seen_doc, 5) then
    local after = major .. '-' .. string.format('%.0f', tonumber(minor) + 1)
    redis.pcall('XADD', history, after, 'audit', external, 'doc', redis.call('GET', doc), 'idem', '')
  end
end

local added = redis.pcall('XADD', history, number .. '-0', 'audit', audit, 'doc', text, 'idem', key)
if added.err then
  if not string.find(added.err, 'ID specified', 1, true) and not string.find(added.err, 'possible ID', 1, true) then
    return added
  end
  local about = redis.call('XINFO', 'STREAM', history)
  for i = 1, #about, 2 do
    if about[i] == 'last-generated-id' then return {'behind', string.match(about[i + 1], '^(%d+)')} end
  end
  return {'behind', '0'}
end
local over = redis.call('XLEN', history) - keep
if over > 0 then
  for _, entry in ipairs(redis.call('XRANGE', history, '-', '+', 'COUNT', over)) do
    for i = 1, #entry[2], 2 do
      local name, old = entry[2][i], entry[2][i + 1]
      if name == 'idem' and old ~= '' and redis.call('HGET', idem, old) == string.match(entry[1], '^(%d+)') then
        redis.call('HDEL', idem, old)
      end
    end
  end
  redis.call('XTRIM', history, 'MAXLEN', keep)
end
if key ~= '' then redis.call('HSET', idem, key, number) end
for i = 1, 2 do
  if displaced[i] then redis.call('RENAME', KEYS[i], KEYS[i + 4]) end
end
redis.call('SET', doc, text)
redis.call('SET', version, number)
redis.call('PUBLISH', channel, #text <= TOLD and number .. '\\n' .. text or number)
return {'ok', number}
""".replace("TOLD", str(TOLD))
)
"""Replace the document if document and version are still as seen. The history comes first: it is what can refuse.

ARGV: states of document and version as seen; idempotency key, and '1' to answer a repeated one with its version; the
new version, document and audit; channel; length of the history; audit of a hand edit, '' for none to record; '1' to set
aside what has a wrong type, and the numbers of keys to set aside in any case.
Answers ok N | replayed N | conflict | behind N (the history is at N already) | type KEY FOUND EXPECTED.
"""

SWAP_ANYWAY = "#!lua flags=allow-oom\n" + SWAP
"""For kills: written even where Redis is out of memory. Redis before 7.0 does not know the first line."""
