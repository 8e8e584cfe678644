-- What the neutral server answers. One worker, so the counters are exact.
local neutral = {}

local LATENCY = 0.03
local IN_MEMORY = 4000000 -- a larger body goes to /sink, which reads it in pieces
-- Signed URLs must arrive byte for byte: a client that quotes anew changes some of these.
local QUERY = "?X-Amz-Credential=a%2Fb%7Ec%20d+e&X-Amz-Signature=abc%2Bdef%3d"

local one, minted, pages, uploads
local arrived

local function nothing()
    return { puts = 0, bytes = 0, chunked = 0, requoted = 0 }
end

local function read(path)
    local file = assert(io.open(path))
    local text = file:read("*a")
    file:close()
    return text
end

function neutral.load(folder)
    one, minted = read(folder .. "/one.json"), read(folder .. "/minted.json")
    pages, uploads, arrived = {}, 0, nothing()
    for number = 1, 100 do
        pages[number] = read(folder .. "/page" .. number .. ".json")
    end
end

local function prefix()
    return string.sub(ngx.var.request_uri, 1, 6) == "/slow/" and "/slow" or ""
end

local function answer(text)
    if prefix() ~= "" then
        ngx.sleep(LATENCY)
    end
    ngx.header["Content-Length"] = #text
    ngx.print(text)
end

local function count(bytes)
    arrived.puts = arrived.puts + 1
    arrived.bytes = arrived.bytes + bytes
    if ngx.var.http_transfer_encoding then
        arrived.chunked = arrived.chunked + 1
    end
    if string.sub(ngx.var.request_uri, -#QUERY) ~= QUERY then
        arrived.requoted = arrived.requoted + 1
    end
end

function neutral.stats()
    answer(string.format('{"puts":%d,"bytes":%d,"chunked":%d,"requoted":%d}',
        arrived.puts, arrived.bytes, arrived.chunked, arrived.requoted))
    if ngx.var.arg_reset then
        arrived = nothing()
    end
end

function neutral.mint()
    ngx.req.read_body()
    local size = string.match(ngx.req.get_body_data() or "", '"content_length"%s*:%s*(%d+)')
    local where = tonumber(size or "0") > IN_MEMORY and "/sink/" or "/put/"
    uploads = uploads + 1
    answer('{"image":' .. minted .. ',"upload_url":"' .. ngx.var.scheme .. "://127.0.0.1:" .. ngx.var.server_port
        .. prefix() .. where .. uploads .. QUERY .. '"}')
end

function neutral.page()
    local number = tonumber(ngx.var.arg_page or "1")
    ngx.header["X-Total-Count"] = "10000"
    ngx.header["X-Page"] = tostring(number)
    ngx.header["X-Limit"] = "100"
    ngx.header["X-Prev-Page"] = number > 1 and tostring(number - 1) or "null"
    ngx.header["X-Next-Page"] = number < 100 and tostring(number + 1) or "null"
    answer(pages[number] or "[]")
end

function neutral.image()
    answer(one)
end

-- The body is kept in memory until it is whole, and dropped.
function neutral.keep()
    ngx.req.read_body()
    local body = ngx.req.get_body_data()
    count(body and #body or 0)
    answer("")
end

-- The body is counted as it comes, and never kept.
function neutral.sink()
    local bytes, socket = 0, ngx.req.socket()
    while socket do
        local piece, problem = socket:receiveany(262144)
        if not piece then
            if problem ~= "closed" then
                ngx.exit(400)
            end
            break
        end
        bytes = bytes + #piece
    end
    count(bytes)
    answer("")
end

return neutral
