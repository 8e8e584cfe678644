-- The handlers of the server. nginx has one worker, so the counters are exact.
local handlers = {}

local LATENCY = 0.03
local IN_MEMORY = 4000000 -- A larger body is sent to /sink, which reads it in chunks.
-- A client must send presigned URLs unchanged. One that quotes them again changes some of these characters.
local QUERY = "?X-Amz-Credential=a%2Fb%7Ec%20d+e&X-Amz-Signature=abc%2Bdef%3d"

local one, pending, pages, uploads
local received

local function zero_counts()
    return { puts = 0, bytes = 0, chunked = 0, requoted = 0 }
end

local function read(path)
    local file = assert(io.open(path))
    local text = file:read("*a")
    file:close()
    return text
end

function handlers.load(folder)
    one, pending = read(folder .. "/one.json"), read(folder .. "/pending.json")
    pages, uploads, received = {}, 0, zero_counts()
    for number = 1, 100 do
        pages[number] = read(folder .. "/page" .. number .. ".json")
    end
end

local function prefix()
    return string.sub(ngx.var.request_uri, 1, 6) == "/slow/" and "/slow" or ""
end

local function respond(text)
    if prefix() ~= "" then
        ngx.sleep(LATENCY)
    end
    ngx.header["Content-Length"] = #text
    ngx.print(text)
end

local function count(bytes)
    received.puts = received.puts + 1
    received.bytes = received.bytes + bytes
    if ngx.var.http_transfer_encoding then
        received.chunked = received.chunked + 1
    end
    if string.sub(ngx.var.request_uri, -#QUERY) ~= QUERY then
        received.requoted = received.requoted + 1
    end
end

function handlers.stats()
    respond(string.format('{"puts":%d,"bytes":%d,"chunked":%d,"requoted":%d}',
        received.puts, received.bytes, received.chunked, received.requoted))
    if ngx.var.arg_reset then
        received = zero_counts()
    end
end

function handlers.create()
    ngx.req.read_body()
    local size = string.match(ngx.req.get_body_data() or "", '"content_length"%s*:%s*(%d+)')
    local path = tonumber(size or "0") > IN_MEMORY and "/sink/" or "/put/"
    uploads = uploads + 1
    respond('{"image":' .. pending .. ',"upload_url":"' .. ngx.var.scheme .. "://127.0.0.1:" .. ngx.var.server_port
        .. prefix() .. path .. uploads .. QUERY .. '"}')
end

function handlers.page()
    local number = tonumber(ngx.var.arg_page or "1")
    ngx.header["X-Total-Count"] = "10000"
    ngx.header["X-Page"] = tostring(number)
    ngx.header["X-Limit"] = "100"
    ngx.header["X-Prev-Page"] = number > 1 and tostring(number - 1) or "null"
    ngx.header["X-Next-Page"] = number < 100 and tostring(number + 1) or "null"
    respond(pages[number] or "[]")
end

function handlers.image()
    respond(one)
end

-- Read the whole body into memory, and count it.
function handlers.put()
    ngx.req.read_body()
    local body = ngx.req.get_body_data()
    count(body and #body or 0)
    respond("")
end

-- Count the body in chunks, and do not keep it.
function handlers.put_large()
    local bytes, socket = 0, ngx.req.socket()
    while socket do
        local chunk, problem = socket:receiveany(262144)
        if not chunk then
            if problem ~= "closed" then
                ngx.exit(400)
            end
            break
        end
        bytes = bytes + #chunk
    end
    count(bytes)
    respond("")
end

return handlers
