package longjson_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"github.com/nodeseal/nodeseal/internal/longjson"
)

type member struct {
	Name string   `json:"name"`
	More []string `json:"more,omitempty"`
}

type document struct {
	Title string   `json:"title"`
	List  []member `json:"list"`
	Last  int      `json:"last"`
}

// The bytes are those of json.Encoder, for lists of any length and titles of any text.
func TestWrite(t *testing.T) {
	t.Parallel()
	for _, list := range [][]member{nil, {}, {{Name: "<one>"}}, {{Name: "a", More: []string{"\n \"list\": []", "&"}}, {}, {Name: "c"}}} {
		doc := document{Title: "<\n \"list\": []>", List: list, Last: 7}
		var want, got bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetIndent("", " ")
		enc.SetEscapeHTML(false)
		if err := enc.Encode(doc); err != nil {
			t.Fatal(err)
		}
		if list != nil {
			doc.List = []member{}
		}
		if err := longjson.Write(&got, doc, "list", slices.Values(list)); err != nil || got.String() != want.String() {
			t.Errorf("%v\n%s\nwant\n%s", err, got.String(), want.String())
		}
	}
}
