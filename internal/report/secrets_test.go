package report_test

import (
	"context"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/report"
)

// moreSecrets are further forms, for each of which CANARY is the secret.
func moreSecrets() []string {
	return []string{
		`Environment=HTTPS_PROXY=bob:CANARY@proxy.corp:3128`,
		`HTTPS_PROXY=bob:CANARY@proxy.corp:3128`,
		`proxy is bob:CANARY/with/slash@proxy.corp:3128`,
		`GET http://bob:CANARY/x@proxy.corp/`,
		`Environment = PLAIN=CANARY`,
		"Environment=\"A=1\" \\\n# a comment\n  Z=CANARY",
		"Environment=\"A=1\" \\\n\n; a comment\n  \"B=2\" \\\n  Z=CANARY",
		`SetCredential=name:CANARY`,
		"SetCredentialEncrypted=name: \\\n        CANARY \\\n        CANARY",
		`PassEnvironment=CANARY`,
		`Invalid environment assignment, ignoring: CANARY`,
		`default_env = ["PAT=a]b", "Z=CANARY"]`,
		"\"default_env\" = [ # it's ]\n  'PAT=a]b', \"Z=CANARY\"]",
		"crio.runtime.default_env = [\"\"\"\na]\"\"\", \"Z=CANARY\"]",
		`api_keys = ["a]b", ["CANARY"], "CANARY"]`,
		`Process={"env":["PATH=/bin","Z=CANARY"],"terminal":false}`,
		`ExecStart=/usr/bin/env Z=CANARY /bin/x`,
		"ExecStartPre = /usr/bin/env \"Z=one CANARY\" Y='CANARY' \\\n  X=CANARY sh -c 'W=CANARY; V=CANARY run' --setenv=U=CANARY -eT=CANARY",
		`argv[]=/usr/bin/env Z=CANARY ;`,
		`podman run -e Z=CANARY --env Y=CANARY --env=X="a CANARY" image`,
		`{\"log\":\"{\\\"password\\\":\\\"a\\\\\\\"CANARY\\\",\\\"n\\\":1}\"}`,
		`{"log":"{\"l\":\"{\\\"password\\\": \\\"CANARY\\\"}\"}"}`,
		"block_token: |\n\n  CANARY\n\n  CANARY",
		"passwords:\n- CANARY\n- CANARY",
		"deep:\n  password:\n    - CANARY\n\n    - CANARY",
		"deep:\n  pwd: word\n    CANARY",
		"- password:\n  - CANARY",
		`{"name":"DB_PASSWORD","value":"CANARY"}`,
		`{"value":"CANARY","name":"PLAIN"}`,
		"- name: PLAIN\n  value: CANARY",
		"- name: PLAIN\n  value: |-\n\n    CANARY",
		"env:\n- name: PLAIN\n  value: CANARY",
		`"password": {"value": "CANARY"}`,
		"\"password\": {\n  \"list\": [\"}\", \"CANARY\"],\n  \"value\": \"CANARY\"\n}",
		`password: {value: CANARY}`,
		`curl --user bob:CANARY https://x`,
		`curl -u bob:CANARY https://x`,
		`curl -ubob:CANARY https://x`,
		`curl -u "bob:one CANARY" --proxy-user=bob:CANARY https://x`,
		`run ["-u","bob:CANARY"]`,
		"tool --password \\\n  CANARY",
		`encryption_key: CANARY`,
		`"key": "CANARY"`,
		`signingKey: CANARY`,
		`GET https://blob.example/x?sv=1&sig=CANARY HTTP/1.1`,
		`GET /x?X-Amz-Credential=CANARY&X-Amz-Signature=CANARY`,
		`X-Amz-Signature=CANARY&sig=CANARY`,
		`aws wJalrXUtnFEMI/K7MDENG/bPxCANARYKEY000000`,
		`global_auth_file = "/x token=CANARY"`,
		`Authorization: [Basic CANARY]`,
	}
}

// Each form alone is found, and does not hide what stands behind it.
func TestForms(t *testing.T) {
	for _, form := range moreSecrets() {
		text := strings.ReplaceAll(form, "CANARY", canary) + "\nStays=here\n"
		items := []report.Item{report.NewItem("x", func(context.Context) ([]byte, error) { return []byte(text), nil })}
		if _, members, _ := archive(t, items, nil); strings.Contains(members["x"], canary) || strings.Contains(members["x"], "wJalr") || !strings.Contains(members["x"], "Stays=here") {
			t.Errorf("%q became %q", text, members["x"])
		}
	}
}
