// Package v1beta1 stands in for the types of flagd's Kubernetes source.
//
// flagd is built here to be asked over HTTP. Its Kubernetes source is compiled in but never started, and pulls in the
// operator's API only for one resource: what is needed of it to compile is below.
package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion names the resource as flagd watches it.
var GroupVersion = schema.GroupVersion{Group: "core.openfeature.dev", Version: "v1beta1"}

// AddToScheme has nothing to register: flagd reads the resource unstructured.
func AddToScheme(*runtime.Scheme) error { return nil }

// FeatureFlag is the resource, as far as flagd looks into it.
type FeatureFlag struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec FeatureFlagSpec `json:"spec,omitempty"`
}

// FeatureFlagSpec holds a flagd document.
type FeatureFlagSpec struct {
	FlagSpec map[string]any `json:"flagSpec,omitempty"`
}
