package nearest_test

import (
	"testing"

	"github.com/nodeseal/nodeseal/internal/nearest"
)

func TestOf(t *testing.T) {
	t.Parallel()
	commands := []string{"list", "bundle", "import", "import-stick", "inspect", "seal", "unseal", "status"}
	for word, want := range map[string]string{
		"impotr": "import", "improt": "import", "statsu": "status", "inspct": "inspect", "bundel": "bundle", "unsea": "unseal",
		"lits": "list", "import_stick": "import-stick",
		"": "", "x": "", "ls": "", "delete": "", "import": "import", "push": "",
	} {
		if got := nearest.Of(word, commands); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}
