package objects

import (
	"testing"

	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

func TestOver(t *testing.T) {
	const owner = `"ownerReferences":[{"kind":"Deployment","name":"d"}]`
	for name, tc := range map[string]struct {
		object string
		want   bool
	}{
		"a pod that runs":             {`{"apiVersion":"v1","kind":"Pod","status":{"phase":"Running"}}`, false},
		"a pod without a status":      {`{"apiVersion":"v1","kind":"Pod"}`, false},
		"a pod that is done":          {`{"apiVersion":"v1","kind":"Pod","status":{"phase":"Succeeded"}}`, true},
		"a pod that failed":           {`{"apiVersion":"v1","kind":"Pod","status":{"phase":"Failed"}}`, true},
		"an earlier replica set":      {`{"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{` + owner + `},"spec":{"replicas":0}}`, true},
		"the present replica set":     {`{"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{` + owner + `},"spec":{"replicas":2}}`, false},
		"a replica set of its own":    {`{"apiVersion":"apps/v1","kind":"ReplicaSet","spec":{"replicas":0}}`, false},
		"a replica set of one":        {`{"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{` + owner + `},"spec":{}}`, false},
		"an earlier controller":       {`{"apiVersion":"v1","kind":"ReplicationController","metadata":{` + owner + `},"spec":{"replicas":0}}`, true},
		"a deployment at zero":        {`{"apiVersion":"apps/v1","kind":"Deployment","spec":{"replicas":0}}`, false},
		"a job that runs":             {`{"apiVersion":"batch/v1","kind":"Job","status":{"active":1}}`, false},
		"a job that waits":            {`{"apiVersion":"batch/v1","kind":"Job","status":{"conditions":[{"type":"Suspended","status":"True"}]}}`, false},
		"a job that is done":          {`{"apiVersion":"batch/v1","kind":"Job","status":{"conditions":[{"type":"Complete","status":"True"}]}}`, true},
		"a job that failed":           {`{"apiVersion":"batch/v1","kind":"Job","status":{"conditions":[{"type":"Failed","status":"True"}]}}`, true},
		"a static pod's revision":     {`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"kube-apiserver-pod-7","ownerReferences":[{"kind":"ConfigMap","name":"revision-status-7"}]}}`, true},
		"a static pod's present text": {`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"kube-apiserver-pod"}}`, false},
	} {
		o, err := kubeobject.Parse([]byte(tc.object), "", "")
		if err != nil {
			t.Fatal(err)
		}
		if got := Over(o); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}
