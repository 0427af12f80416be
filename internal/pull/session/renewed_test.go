package session

import (
	"net/http"
	"slices"
	"testing"
)

// answers gives one status after the other.
type answers struct {
	statuses []int
	asked    int
}

func (a *answers) RoundTrip(*http.Request) (*http.Response, error) {
	a.asked++
	status := a.statuses[0]
	a.statuses = a.statuses[1:]
	return &http.Response{StatusCode: status, Body: http.NoBody}, nil
}

func TestRenewed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		answers []int
		want    []int
	}{
		{name: "a token that others used up", answers: []int{200, 401, 206}, want: []int{200, 206}},
		{name: "twice", answers: []int{307, 401, 200, 401, 200}, want: []int{307, 200, 200}},
		{name: "access that ended", answers: []int{200, 401, 401}, want: []int{200, 401}},
		{name: "access that never was", answers: []int{401, 404, 401}, want: []int{401, 404, 401}},
		{name: "another refusal", answers: []int{200, 403, 429}, want: []int{200, 403, 429}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inner := &answers{statuses: tt.answers}
			r := &renewed{inner: inner}
			var got []int
			for range tt.want {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://registry.example/v2/", http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := r.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				got = append(got, resp.StatusCode)
			}
			if !slices.Equal(got, tt.want) || len(inner.statuses) != 0 {
				t.Errorf("answers %v with %v left, want %v", got, inner.statuses, tt.want)
			}
		})
	}
}
