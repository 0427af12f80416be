package answer

import (
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// kindOther is everything that is not of the distribution specification.
const kindOther kind = "other"

// buckets are the upper bounds of the histogram of durations, in seconds.
func buckets() []float64 { return []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .5, 1, 10} }

// metrics are written in the text format of Prometheus. There are so few of them
// that its library would need more memory than the stores.
type metrics struct {
	layerRequests atomic.Int64
	originals     atomic.Int64

	mu       sync.Mutex
	requests map[counted]int64
	bytes    map[kind]int64
	hits     []int64 // one for each bucket, not cumulative
	seconds  float64
	total    int64
}

type counted struct {
	kind   kind
	status int
}

// count counts one request.
func (m *metrics) count(what kind, out *recorder, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.requests == nil {
		m.requests, m.bytes = make(map[counted]int64), make(map[kind]int64)
		m.hits = make([]int64, len(buckets()))
	}
	m.requests[counted{what, out.status}]++
	m.bytes[what] += out.bytes
	m.total++
	m.seconds += took.Seconds()
	for i, bound := range buckets() {
		if took.Seconds() <= bound {
			m.hits[i]++
			break
		}
	}
}

// text returns all metrics.
func (m *metrics) text(s *stores) []byte {
	var b strings.Builder
	family := func(name, kind, help string) {
		fmt.Fprintf(&b, "# HELP nodeseal_serve_%s %s\n# TYPE nodeseal_serve_%s %s\n", name, help, name, kind)
	}
	views := s.look().views
	family("store_up", "gauge", "Whether the store can be read.")
	for _, v := range views {
		up := 1
		if v.err != nil {
			up = 0
		}
		fmt.Fprintf(&b, "nodeseal_serve_store_up{store=%q} %d\n", v.dir, up)
	}
	family("store_images", "gauge", "Image records of the store.")
	for _, v := range views {
		fmt.Fprintf(&b, "nodeseal_serve_store_images{store=%q} %d\n", v.dir, len(v.configs))
	}
	family("store_reads_total", "counter", "How often a store was read because it was new or had changed.")
	fmt.Fprintf(&b, "nodeseal_serve_store_reads_total %d\n", s.reloads.Load())
	family("layer_requests_total", "counter", "Requests for layers: 0 where the runtime finds all of them in the stores.")
	fmt.Fprintf(&b, "nodeseal_serve_layer_requests_total %d\n", m.layerRequests.Load())
	family("original_requests_total", "counter", "Requests for layers that a store keeps as the registry has them.")
	fmt.Fprintf(&b, "nodeseal_serve_original_requests_total %d\n", m.originals.Load())
	m.mu.Lock()
	defer m.mu.Unlock()
	family("requests_total", "counter", "Requests by endpoint and status.")
	for _, key := range sortedKeys(m.requests, func(c counted) string { return fmt.Sprint(c.kind, c.status) }) {
		fmt.Fprintf(&b, "nodeseal_serve_requests_total{endpoint=%q,code=\"%d\"} %d\n", key.kind, key.status, m.requests[key])
	}
	family("response_bytes_total", "counter", "Bytes of bodies by endpoint.")
	for _, key := range sortedKeys(m.bytes, func(k kind) string { return string(k) }) {
		fmt.Fprintf(&b, "nodeseal_serve_response_bytes_total{endpoint=%q} %d\n", key, m.bytes[key])
	}
	family("request_seconds", "histogram", "How long requests took.")
	var below int64
	for i, bound := range buckets() {
		if m.hits != nil {
			below += m.hits[i]
		}
		fmt.Fprintf(&b, "nodeseal_serve_request_seconds_bucket{le=\"%g\"} %d\n", bound, below)
	}
	fmt.Fprintf(&b, "nodeseal_serve_request_seconds_bucket{le=\"+Inf\"} %d\nnodeseal_serve_request_seconds_sum %g\nnodeseal_serve_request_seconds_count %d\n",
		m.total, m.seconds, m.total)
	return []byte(b.String())
}

// sortedKeys returns the keys of m in the order of their text.
func sortedKeys[K comparable](m map[K]int64, text func(K) string) []K {
	return slices.SortedFunc(maps.Keys(m), func(a, b K) int { return strings.Compare(text(a), text(b)) })
}

// recorder notes what is answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
	// renew gives the client new time; nil where the server's is enough.
	renew func() error
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// ReadFrom implements io.ReaderFrom, so that files go from the disk to the connection
// without passing through here. It gives the client new time with every piece that it takes.
func (r *recorder) ReadFrom(src io.Reader) (n int64, err error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	limit := int64(math.MaxInt64)
	if l, ok := src.(*io.LimitedReader); ok {
		src, limit = l.R, l.N
	}
	for n < limit {
		if r.renew != nil {
			if err := r.renew(); err != nil {
				return n, err
			}
		}
		var more int64
		more, err = io.Copy(r.ResponseWriter, &io.LimitedReader{R: src, N: min(piece, limit-n)})
		n += more
		r.bytes += more
		if err != nil || more == 0 {
			break
		}
	}
	return n, err
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
