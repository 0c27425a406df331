vcl 4.1;

# Varnish in front of fixity, with one purge for all links to a file. Start fixity with UPLOAD_CACHE_TAGS=yes, and purge with
#     curl -X PURGE -H "Cache-Tag: <64 hex digits>" http://varnish/
backend fixity {
    .host = "127.0.0.1";
    .port = "3000";
}

# Where purges come from.
acl operators {
    "localhost";
}

sub vcl_recv {
    if (req.method == "PURGE") {
        if (client.ip !~ operators) {
            return (synth(405));
        }
        if (req.http.Cache-Tag !~ "^[0-9a-f]{64}$") {
            return (synth(400));
        }
        ban("obj.http.Cache-Tag == " + req.http.Cache-Tag);
        return (synth(204));
    }
    # Uploads pass through as they arrive.
    if (req.method != "GET" && req.method != "HEAD") {
        return (pipe);
    }
    # Varnish would otherwise cache nothing for clients with cookies, which links do not depend on.
    unset req.http.Cookie;
}

sub vcl_backend_response {
    # Private files and failures.
    if (beresp.http.Cache-Control ~ "private|no-store|no-cache") {
        set beresp.uncacheable = true;
        set beresp.ttl = 0s;
    }
}
