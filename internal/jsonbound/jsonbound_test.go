package jsonbound_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/jsonbound"
	"github.com/nodeseal/nodeseal/internal/memtest"
)

func TestUnmarshal(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		doc string
		ok  bool
	}{
		"an object":          {`{"a":[1,{"b":"c"}]}`, true},
		"as many as allowed": {"[" + strings.Repeat("{},", jsonbound.Allowance/2-2) + "{}]", true},
		"empty objects":      {"[" + strings.Repeat("{},", 1<<20) + "{}]", false},
		"empty strings":      {"[" + strings.Repeat(`"",`, 1<<20) + `""]`, false},
		"short members":      {"{" + strings.Repeat(`"":1,`, 1<<20) + `"":1}`, false},
		"deep":               {strings.Repeat("[", 300) + strings.Repeat("]", 300), false},
		"commas in a string": {`{"a":"` + strings.Repeat(`[{,\",`, 1<<20) + `"}`, true},
		"long elements":      {"[" + strings.Repeat(`"`+strings.Repeat("x", 100)+`",`, 1<<18) + `""]`, true},
	} {
		var v any
		err := jsonbound.Unmarshal([]byte(c.doc), &v)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, jsonbound.ErrBound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := jsonbound.Unmarshal([]byte(`{"a"`), new(any)); err == nil || errors.Is(err, jsonbound.ErrBound) {
		t.Errorf("no JSON: %v", err)
	}
}

func TestCheckRecords(t *testing.T) {
	t.Parallel()
	numbers := func(n int) string { return strings.Repeat("1,", n) + "1" }
	for name, c := range map[string]struct {
		doc string
		ok  bool
	}{
		"owners":              {`[{"uidset":[` + numbers(900_000) + `]}]`, true},
		"too many owners":     {`[{"uidset":[` + numbers(8_000_000) + `]}]`, false},
		"numbers for records": {`[` + numbers(100_000) + `]`, false},
		"strings":             {`[{"uidset":[` + strings.Repeat(`"",`, 100_000) + `""]}]`, false},
		"empty records":       {`[` + strings.Repeat(`{},`, 100_000) + `{}]`, false},
	} {
		if err := jsonbound.CheckRecords([]byte(c.doc)); errors.Is(err, jsonbound.ErrBound) == c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What Check passes is decoded into the largest structs that this program has with a bounded
// memory for each byte.
func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte(`{"images":[{},{}]}`))
	f.Add([]byte("[" + strings.Repeat("{},", 1<<17) + "{}]"))
	f.Add([]byte("[" + strings.Repeat(`{"m":{"":""}},`, 1<<15) + "{}]"))
	f.Add(bytes.Repeat([]byte("["), 1000))
	type large struct {
		S [12]string        `json:"s"`
		M map[string]string `json:"m"`
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var list []large
		var err error
		took := memtest.Allocated(func() { err = jsonbound.Unmarshal(data, &list) })
		const each, fixed = 64, 4 * jsonbound.Allowance * 256
		if took > int64(len(data))*each+fixed {
			t.Errorf("%d bytes took %d", len(data), took)
		}
		if err == nil && !json.Valid(data) {
			t.Error("decoded what is no JSON")
		}
	})
}
