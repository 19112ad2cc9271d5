"""Synthetic faces: people drawn by a program, each with many pictures."""

from cface_basicsr.data.generated_faces.render import render_face

__all__ = ['render_face']
