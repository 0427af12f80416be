package session

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/memtest"
)

// FuzzHeaders: a registry says anything about its token server, and how long to wait. A private
// address is refused or hidden behind a name, and nobody waits for a negative time.
func FuzzHeaders(f *testing.F) {
	f.Add(`Bearer realm="http://127.0.0.1:1/token",service="x"`, "120", "")
	f.Add(`Bearer realm="http://registry.example:5000/token"`, "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:07 GMT")
	f.Add(`Basic realm=""`, "-5", "x")
	f.Add(`Bearer realm="http://[::1%25lo]/"`, "99999999999", "")
	f.Add(string(memtest.Repeat(1<<20, "Bearer ", `realm="`, `"`)), "", "")
	f.Fuzz(func(t *testing.T, challenge, wait, date string) {
		memtest.Hold(t, 16*int64(len(challenge)+len(wait)+len(date))+1<<20, func() {
			r := &realms{registry: "registry.example:5000", named: func(string) (bool, error) { return false, nil }}
			changed, err := r.challenge(challenge)
			if err != nil && !errors.As(err, new(*RealmError)) {
				t.Errorf("%q: %v", challenge, err)
			}
			if at := realmParameter.FindStringSubmatch(changed); err == nil && at != nil {
				if u, err := url.Parse(at[1]); err == nil && Private(u.Hostname()) && u.Host != r.registry {
					t.Errorf("%q sends to %s", challenge, u.Host)
				}
			}
			resp := &http.Response{StatusCode: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {wait}, "Date": {date}}}
			if d := retryAfter(resp); d < 0 {
				t.Errorf("%q, %q: %v", wait, date, d)
			}
		})
	})
}

// FuzzToken: of an answer that is a JSON object nothing is lost, and of any other little is read.
func FuzzToken(f *testing.F) {
	f.Add([]byte(`{"token":"x"}`))
	f.Add([]byte("\n\t {}"))
	f.Add([]byte("<html>"))
	f.Add(memtest.Repeat(1<<20, "", " ", "{}"))
	req := &http.Request{URL: &url.URL{Host: "x"}}
	f.Fuzz(func(t *testing.T, body []byte) {
		resp := &http.Response{Body: io.NopCloser(bytes.NewReader(body)), Header: http.Header{}}
		err := checkToken(req, resp)
		object := strings.HasPrefix(strings.TrimLeft(string(body[:min(len(body), maxBlank)]), " \t\r\n"), "{")
		if object != (err == nil) && len(body) > 0 {
			t.Fatalf("%.600q: %v", body, err)
		}
		if err != nil {
			return
		}
		if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%.600q became %.600q, %v", body, got, err)
		}
	})
}
