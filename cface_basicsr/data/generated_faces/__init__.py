"""Synthetic faces: people who do not exist, drawn by a program, each in many images."""

from cface_basicsr.data.generated_faces.render import render_face

__all__ = ['render_face']
