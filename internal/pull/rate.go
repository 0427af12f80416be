package pull

import (
	"fmt"
	"time"
)

// leastRate is how many bytes a second must come while the network is waited for. It
// is far below what any line gives, and above what a server sends to keep a client busy.
const leastRate = 1 << 10

// rate holds a body to the least rate over each window of waiting for the network.
// The zero value holds to nothing.
type rate struct {
	window time.Duration
	waited time.Duration
	bytes  int64
}

// add notes n bytes that came after waiting. The error wraps ErrSlow.
func (r *rate) add(n int, waited time.Duration) error {
	r.bytes += int64(n)
	if r.waited += waited; r.window == 0 || r.waited < r.window {
		return nil
	}
	got, took := r.bytes, r.waited
	r.bytes, r.waited = 0, 0
	if float64(got) >= leastRate*took.Seconds() {
		return nil
	}
	return fmt.Errorf("%w: %d bytes in %s", ErrSlow, got, took.Round(time.Second))
}
