package objects

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// TestWantedRelease: after `oc adm upgrade` the wanted release comes first, also while the
// operator has not taken it up.
func TestWantedRelease(t *testing.T) {
	t.Parallel()
	const status = `"desired":{"version":"4.20.1","image":"quay.io/r@old"},"history":[{"state":"Completed","version":"4.20.1","image":"quay.io/r@old"},{"state":"Completed","version":"4.19.9","image":"quay.io/r@older"}]`
	const available = `,"availableUpdates":[{"version":"4.20.2","image":"quay.io/r@new"}],"conditionalUpdates":[{"release":{"version":"4.20.3","image":"quay.io/r@risky"}}]`
	for _, test := range []struct{ name, spec, status, want, problem string }{
		{"none", `{}`, status, "4.20.1 old", ""},
		{"null", `{"desiredUpdate":null}`, status, "4.20.1 old", ""},
		{"version and image", `{"desiredUpdate":{"version":"4.20.2","image":"quay.io/r@new"}}`, status, "4.20.2 new, 4.20.1 old", ""},
		{"image alone", `{"desiredUpdate":{"image":"quay.io/r@new"}}`, status, " new, 4.20.1 old", ""},
		{"image of the graph", `{"desiredUpdate":{"image":"quay.io/r@new"}}`, status + available, "4.20.2 new, 4.20.1 old", ""},
		{"version of the graph", `{"desiredUpdate":{"version":"4.20.2"}}`, status + available, "4.20.2 new, 4.20.1 old", ""},
		{"version with a risk", `{"desiredUpdate":{"version":"4.20.3"}}`, status + available, "4.20.3 risky, 4.20.1 old", ""},
		{"version of no image", `{"desiredUpdate":{"version":"4.20.9"}}`, status, "4.20.1 old", "4.20.9"},
		{"of an upgrade that is over", `{"desiredUpdate":{"version":"4.20.1","image":"quay.io/r@old"}}`, status, "4.20.1 old", ""},
		{"back to the release before", `{"desiredUpdate":{"version":"4.19.9"}}`, status, "4.19.9 older, 4.20.1 old", ""},
	} {
		raw := fmt.Sprintf(`{"apiVersion":"config.openshift.io/v1","kind":"ClusterVersion","metadata":{"name":"version"},"spec":%s,"status":{%s}}`, test.spec, test.status)
		var o kubeobject.Object
		if err := json.Unmarshal([]byte(raw), &o); err != nil {
			t.Fatal(err)
		}
		o.Raw = json.RawMessage(raw)
		f, err := Extract(o)
		if (err == nil) != (test.problem == "") || err != nil && !strings.Contains(err.Error(), test.problem) {
			t.Errorf("%s: %v", test.name, err)
		}
		var got []string
		for _, r := range f.Releases {
			got = append(got, r.Version+" "+strings.TrimPrefix(r.Image, "quay.io/r@"))
			if !slices.ContainsFunc(f.Images, func(i Found) bool { return i.Ref == r.Image }) {
				t.Errorf("%s: the image of %s is not listed", test.name, r.Version)
			}
		}
		if strings.Join(got, ", ") != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
