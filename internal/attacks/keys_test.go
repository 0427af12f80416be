//go:build attacks

package attacks

import "testing"

// TestEmptyKey calls a command as a script does whose variable is not set.
func TestEmptyKey(t *testing.T) {
	attack{
		Name: "keys: --key \"$KEY\" with KEY not set", Before: "nothing was checked, exit 0",
		Exit: 2, Says: "the value is empty",
	}.run(t, "verify", "release.tar.zst", "--key", "")
	attack{
		Name: "keys: NODESEAL_KEY set and empty", Before: "nothing was checked, exit 0",
		Exit: 2, Says: "the value is empty", Env: []string{"NODESEAL_KEY="},
	}.run(t, "import", "release.tar.zst")
	attack{
		Name: "keys: --policy \"$POLICY\" with POLICY not set", Before: "nothing was checked, exit 0",
		Exit: 2, Says: "the value is empty",
	}.run(t, "bundle", "--images", "images.lst", "-o", "x.tar.zst", "--policy", "")
}

// TestEndlessKey names a device as the key.
func TestEndlessKey(t *testing.T) {
	attack{
		Name: "keys: a key file without an end", Before: "out of memory",
		Exit: 2, Says: "key cannot be used",
	}.run(t, "bundle", "--images", "images.lst", "-o", "x.tar.zst", "--sign-key", "/dev/zero")
}
