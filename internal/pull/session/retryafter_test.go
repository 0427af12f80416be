package session

import (
	"net/http"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	const (
		now   = "Sun, 06 Nov 1994 08:49:37 GMT"
		later = "Sun, 06 Nov 1994 08:50:07 GMT"
	)
	for _, tt := range []struct {
		name, value, date string
		status            int
		want              time.Duration
	}{
		{"seconds", "120", "", 429, 2 * time.Minute},
		{"none", "", "", 503, 0},
		{"zero", "0", "", 503, 0},
		{"negative", "-5", "", 503, 0},
		{"too many", "99999999999", "", 503, 0},
		{"date", later, now, 503, 30 * time.Second},
		{"date that is over", now, later, 503, 0},
		{"date without the server's", later, "", 503, 0},
		{"nonsense", "soon", now, 503, 0},
		{"of a success", "120", "", 200, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			h.Set("Retry-After", tt.value)
			h.Set("Date", tt.date)
			if got := retryAfter(&http.Response{StatusCode: tt.status, Header: h}); got != tt.want {
				t.Fatalf("retryAfter = %s, want %s", got, tt.want)
			}
		})
	}
}
